//! The way to the other processes of a role.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use proto::{Code, Error};
use rpc::grpc::{ChannelPool, Dial, GrpcChannel};

use crate::share::Addresses;

/// How long one may take to say where it stands.
pub const STANDING_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections to the other processes of a role, and what is asked of all of them.
pub struct Peers {
    pool: ChannelPool,
    clock: Arc<dyn Clock>,
}

impl Peers {
    /// Without connections yet.
    pub fn new(dial: Arc<dyn Dial>, clock: Arc<dyn Clock>) -> Self {
        Self { pool: ChannelPool::new(dial), clock }
    }

    /// Lets go of connections to where nobody is any more.
    pub fn follow(&self, addresses: &Addresses) {
        self.pool.retain(|address| addresses.values().any(|known| known == address));
    }

    /// The channel to an address.
    ///
    /// # Errors
    /// Where the address cannot be one.
    pub fn channel(&self, address: &str) -> Result<GrpcChannel, Error> {
        self.pool.get(address).map_err(|error| Error::internal(error.to_string()))
    }

    /// What a call gives.
    ///
    /// # Errors
    /// Those of the call, and [`Code::DeadlineExceeded`] where it takes longer than `timeout`.
    pub async fn within<T>(
        &self,
        timeout: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            answer = call => answer,
            () = self.clock.sleep(timeout) => {
                Err(Error::new(Code::DeadlineExceeded, format!("no answer within {timeout:?}")))
            }
        }
    }

    /// Where these stand, as far as they say within [`STANDING_TIMEOUT`]. `ask` is given an address, and gives the name of who
    /// answers there with what it says; that is as old as the question, whose monotonic time comes first.
    pub async fn standings<T, F>(
        &self,
        of: &Addresses,
        ask: impl Fn(String) -> F,
    ) -> BTreeMap<Arc<str>, (Duration, T)>
    where
        F: Future<Output = Result<(String, T), Error>>,
    {
        let asked = of.iter().map(|(name, address)| {
            let at = self.clock.monotonic();
            let answer = self.within(STANDING_TIMEOUT, ask(address.clone()));
            async move {
                let standing = answer.await.and_then(|(instance, says)| match *instance == **name {
                    true => Ok(says),
                    false => Err(Error::internal(format!("{address} is {instance} now"))),
                });
                let unknown =
                    |error: &Error| tracing::debug!(%name, %error, "it does not say where it stands");
                let says = standing.inspect_err(unknown).ok()?;
                Some((Arc::clone(name), (at, says)))
            }
        });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use env::ManualClock;
    use rpc::grpc::InvalidAddress;

    use super::*;

    /// Nobody is called.
    struct Nowhere;

    impl Dial for Nowhere {
        fn dial(&self, address: &str) -> Result<GrpcChannel, InvalidAddress> {
            Err(InvalidAddress { address: address.to_owned() })
        }
    }

    #[tokio::test]
    async fn who_answers_in_time_by_its_own_name_is_heard() {
        let clock = ManualClock::new(0);
        clock.advance(Duration::from_secs(5));
        let peers = Peers::new(Arc::new(Nowhere), Arc::new(clock.clone()));
        let names = ["a", "failing", "moved", "silent", "z"];
        let of: Addresses = names.iter().map(|name| (Arc::from(*name), format!("{name}:1"))).collect();
        let ask = |address: String| {
            let clock = clock.clone();
            async move {
                match address.as_str() {
                    "failing:1" => Err(Error::internal("it fails")),
                    "moved:1" => Ok(("somebody else".to_owned(), 1)),
                    "silent:1" => std::future::pending().await,
                    "z:1" => {
                        clock.sleep(STANDING_TIMEOUT / 2).await;
                        Ok(("z".to_owned(), 2))
                    }
                    _ => Ok(("a".to_owned(), 3)),
                }
            }
        };
        let passing = async {
            for _ in 0..2 {
                // Who is asked sleeps by now.
                tokio::task::yield_now().await;
                clock.advance(STANDING_TIMEOUT / 2);
            }
        };
        let (heard, ()) = tokio::join!(peers.standings(&of, ask), passing);
        let asked = Duration::from_secs(5);
        let expected: BTreeMap<Arc<str>, _> =
            [("a", (asked, 3)), ("z", (asked, 2))].map(|(n, s)| (n.into(), s)).into();
        assert_eq!(heard, expected);
    }

    #[test]
    fn an_address_that_cannot_be_one_is_named() {
        let peers = Peers::new(Arc::new(Nowhere), Arc::new(ManualClock::new(0)));
        let error = peers.channel("nowhere").map(drop).unwrap_err();
        assert!(error.message.contains("nowhere"), "{error}");
    }
}
