//! The HTTP server: route table, middleware, routes.
