//! How roles meet: service traits, their messages, and one closed error enum. In one process the traits are called
//! directly; between processes the same traits are carried over the network. Nothing here knows about sockets.

pub mod alerts;
pub mod cardinality;
pub mod checksums;
pub mod error;
mod generated;
mod late;
pub mod peers;
pub mod push;
pub mod query;
pub mod read;
mod stored;
pub mod take_over;

pub use alerts::{PostAlerts, PostedAlert};
pub use cardinality::{
    ActiveSeries, ActiveSeriesStream, CardinalityRequest, Counted, IndexStats, LabelNameCardinality,
    LabelValueCardinality, LabelValuesCardinality, Stat,
};
pub use checksums::{
    Checked, ChecksumBatch, ChecksumStream, ChecksummedSeries, MAX_REFERENCED_SERIES, ReferencedRequest,
    ReferencedSeries,
};
pub use chunk::Encoding as ChunkEncoding;
pub use error::{Code, Error};
pub use generated::{alertmanager, ingester, metastore, rpc, ruler};
pub use late::LateIngester;
pub use peers::{IngesterReaders, IngesterWriters};
pub use push::{
    Frame, IngesterWrite, MetadataEntry, PushRequest, PushResponse, RejectReason, Rejection, SeriesBatch,
    Source, SymbolTable, Version, Write, WriteRequest, WriteResponse, Written,
};
pub use query::{InstantQuery, NewestRequest, NewestSample, Query};
pub use read::{
    Chunk, CoveringSelection, ExemplarsRequest, FamilyMetadata, IngesterRead, LabelNamesRequest,
    LabelValuesRequest, MetadataRequest, SelectBatch, SelectRequest, SelectStream, SeriesChunks,
    SeriesExemplars, SeriesRequest, TenantStats,
};
pub use stored::{KnownFields, Stored};
pub use take_over::{Successors, TakeOver, TakeOverRequest, TakenOver, TakenSeries};

/// Metadata of an answer of the metastore: where the leader is (host:port), from a node that is not the leader and did
/// nothing. Ask there.
pub const METASTORE_LEADER: &str = "barograph-metastore-leader";
