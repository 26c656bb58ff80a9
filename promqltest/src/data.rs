//! What queries of a script read.

use promql::{Engine, ErrorKind, PreparedQuery, QueryError, QueryResult};

use crate::stored::{Arrangement, Stored};
use testseries::Storage;

/// Where data of scripts is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In memory, as samples.
    Memory,
    /// Behind a querier.
    Blocks(Arrangement),
}

/// The data, as a query finds it.
pub(crate) enum Data<'a> {
    Memory(&'a Storage),
    Stored(&'a Stored),
}

impl<'a> Data<'a> {
    /// What has been loaded, at its place; `stored` keeps what is made for that.
    pub(crate) fn at(
        place: Place,
        storage: &'a Storage,
        stored: &'a mut Option<Stored>,
    ) -> Result<Self, String> {
        match (place, stored) {
            (Place::Memory, _) => Ok(Self::Memory(storage)),
            (Place::Blocks(_), Some(stored)) => Ok(Self::Stored(stored)),
            (Place::Blocks(arrangement), none) => {
                Ok(Self::Stored(none.insert(Stored::new(arrangement, storage)?)))
            }
        }
    }

    /// Runs a query.
    pub(crate) fn run(&self, engine: &Engine, query: &PreparedQuery) -> Result<QueryResult, QueryError> {
        match self {
            Self::Memory(storage) => engine.run(query, *storage, &|| None),
            Self::Stored(stored) => {
                let source = stored
                    .select(query)
                    .map_err(|error| QueryError { kind: ErrorKind::Source, message: error.to_string() })?;
                engine.run(query, &*source, &|| None)
            }
        }
    }
}
