//! Pure functions from text to findings: normalise, scan once, validate. No I/O.
