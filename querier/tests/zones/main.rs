//! Reading from zones whose ingesters are fakes: whatever fails, an answer is whole or an error.

mod answers;
mod cluster;
mod history;
mod node;
mod selections;
