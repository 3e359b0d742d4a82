//! The dashboard at `/app`: pages for people, written by the server, in the same program.
//!
//! A page **reads** through the functions that the JSON routes read with, and **changes** things through the JSON
//! routes themselves: its forms say which (`data-api="PATCH /agents/…"`) and `static/app.js` sends them. So there is one
//! place that decides who may do what, and nothing that the dashboard can do and a program cannot.
//!
//! To add a page:
//! 1. `templates/<page>.html` extends `shell.html`; `pages/<page>.rs` has a struct with a field `shell` and the handler.
//! 2. A line in `router/tables/app.rs`: the path and who may see it.
//! 3. If it is in the navigation, a line in [`page::NAVIGATION`].
//! 4. `tests/node/dashboard/` walks it in a real browser and takes its picture.
//!
//! What came from outside is text: templates escape, and nothing marks data as safe. The policy for the pages allows
//! no inline script, no inline style and nothing from elsewhere; so `static/` holds all they need.

pub mod assets;
pub mod chart;
pub mod format;
pub mod page;
pub mod pages;
pub mod told;
mod viewer;

pub use viewer::Viewer;
