//! The book's listings, each of which runs as a test.

mod eprop2;
mod eprop3;
mod reward;
