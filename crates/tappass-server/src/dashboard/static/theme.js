// Before anything is drawn: the theme that this browser's person has chosen, else the system's.
(() => {
  try {
    const theme = localStorage.getItem("tappass-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; then the system's theme it is.
  }
})();
