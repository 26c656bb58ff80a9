//! The macros by which roles declare configuration: one declaration gives the struct, its defaults, its parsing and
//! its documentation.

/// Declares a section of configuration: a struct whose fields are keys.
///
/// ```
/// use std::time::Duration;
/// settings::section! {
///     /// What the ingester needs to know.
///     pub struct IngesterConfig ("ingester") {
///         /// How often a head snapshot is taken.
///         snapshot_interval: Duration = "15m", range "1m"..="6h";
///         /// How many shards the head has.
///         shards: usize = "16", min "1";
///     }
/// }
/// assert_eq!(IngesterConfig::default().snapshot_interval, Duration::from_secs(900));
/// ```
///
/// The default and the bounds are text that the field's type parses. Bounds, optional, are `range "a"..="b"`,
/// `min "a"` or `max "b"`. After the struct, `check path::to::function;` may name a function from `&Self` to
/// `Result<(), String>` for what fields must satisfy together. The section's name is a dotted path, or empty for keys
/// at the top. The key of the field above is `ingester.snapshot_interval` in YAML (nested by the dot; kebab case is
/// accepted too), `--ingester.snapshot-interval` as a flag and `BAROGRAPH_INGESTER_SNAPSHOT_INTERVAL` in the
/// environment.
#[macro_export]
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident ($section:literal) {
            $(
                $(#[doc = $field_doc:literal])+
                $field:ident : $type:ty = $default:literal
                $(, $rule:ident $low:literal $(..= $high:literal)?)? ;
            )*
        }
        $(check $check:path;)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone)]
        $vis struct $name {
            $(
                $(#[doc = $field_doc])+
                #[doc = concat!("\n\nDefault: `", $default, "`.")]
                pub $field: $type,
            )*
        }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                $crate::section::defaults()
            }
        }

        impl $crate::Section for $name {
            const NAME: &'static str = $section;
            const DOC: &'static str = concat!($($doc, "\n"),*);

            fn keys() -> ::std::vec::Vec<$crate::KeySpec> {
                ::std::vec![$(
                    $crate::KeySpec::new::<$type>(
                        $section,
                        stringify!($field),
                        concat!($($field_doc, "\n"),+),
                        $default,
                    )$(.$rule($low $(, $high)?))?
                ),*]
            }

            fn read(lookup: &dyn $crate::Lookup) -> ::std::result::Result<Self, $crate::Problems> {
                let mut problems = $crate::Problems::default();
                let mut keys = <Self as $crate::Section>::keys().into_iter();
                $(
                    let $field = keys.next().and_then(|key| {
                        $crate::section::read_key::<$type>(&key, lookup).map_err(|problem| problems.push(problem)).ok()
                    });
                )*
                match ($($field,)*) {
                    ($(Some($field),)*) => {
                        let section = Self { $($field),* };
                        $(
                            if let Err(message) = $check(&section) {
                                let location = $crate::section::section_location(&section, lookup);
                                return Err($crate::Problem::new(location, message).into());
                            }
                        )?
                        Ok(section)
                    }
                    _ => Err(problems),
                }
            }

            fn print(&self) -> ::std::vec::Vec<($crate::KeySpec, ::std::string::String)> {
                let mut keys = <Self as $crate::Section>::keys().into_iter();
                let mut printed = ::std::vec::Vec::new();
                $(
                    printed.extend(keys.next().map(|key| (key, $crate::Setting::print(&self.$field))));
                )*
                printed
            }
        }
    };
}

/// Declares per-tenant limits of a role: [`section!`] under the name `limits`.
///
/// Their keys set the defaults for all tenants (`limits.ingestion_rate`, `--limits.ingestion-rate`), and the same names
/// stand under a tenant in the overrides file.
#[macro_export]
macro_rules! limits {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident { $($body:tt)* }
        $($check:tt)*
    ) => {
        $crate::section! {
            $(#[doc = $doc])*
            $vis struct $name ("limits") { $($body)* }
            $($check)*
        }
    };
}

/// Declares an enum of which configuration gives one word.
///
/// ```
/// settings::choices! {
///     /// When a write is on disk before it is acknowledged.
///     pub enum Sync {
///         /// Always.
///         Always = "always",
///         /// When the operating system sees fit.
///         Never = "never",
///     }
/// }
/// assert_eq!(<Sync as settings::Setting>::parse("never").unwrap(), Sync::Never);
/// ```
#[macro_export]
macro_rules! choices {
    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident {
            $( $(#[doc = $variant_doc:literal])* $variant:ident = $word:literal ),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name {
            $( $(#[doc = $variant_doc])* $variant, )+
        }

        impl $crate::Setting for $name {
            const TYPE: &'static str = "choice";

            fn parse(text: &str) -> ::std::result::Result<Self, $crate::Expected> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err($crate::Expected(::std::format!("one of {}", [$($word),+].join(", ")))),
                }
            }

            fn print(&self) -> ::std::string::String {
                match self {
                    $( Self::$variant => $word, )+
                }
                .to_owned()
            }

            fn choices() -> &'static [&'static str] {
                &[$($word),+]
            }
        }
    };
}
