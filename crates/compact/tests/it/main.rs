//! Planning: what comes of carrying plans out until nothing is left to do.

mod cases;
mod model;
mod properties;
