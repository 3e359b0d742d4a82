-- PostgreSQL's row-level security; SQLite has none. The number is taken, so that both dialects have the same.
SELECT 1;
