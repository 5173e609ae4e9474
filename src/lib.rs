//! Hands the primary role of a MySQL replication topology from one instance to another.
