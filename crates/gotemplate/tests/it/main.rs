//! Templates against what Go makes of them.

mod data;
mod go;
mod limits;
mod properties;
