//! What the tests stand on: a scripted provider, temporary databases, a manual clock.
