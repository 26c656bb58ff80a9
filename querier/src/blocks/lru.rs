//! What has been used last, up to a weight.

use std::collections::BTreeMap;
use std::time::Duration;

/// Values by key, each with a weight; those go first that have not been used for longest. What is in it, and what goes,
/// depends on the calls alone.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    capacity: u64,
    weight: u64,
    uses: u64,
    entries: BTreeMap<K, Entry<V>>,
    by_use: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: u64,
    /// Its number among all uses.
    used: u64,
    used_at: Duration,
}

impl<K: Ord + Clone, V: Clone> Lru<K, V> {
    /// Room for a weight.
    pub(crate) fn new(capacity: u64) -> Self {
        Self { capacity, weight: 0, uses: 0, entries: BTreeMap::new(), by_use: BTreeMap::new() }
    }

    /// The value, which has been used now.
    pub(crate) fn get(&mut self, key: &K, now: Duration) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        self.uses += 1;
        (entry.used, entry.used_at) = (self.uses, now);
        self.by_use.insert(self.uses, key.clone());
        Some(entry.value.clone())
    }

    /// Whether there is a value; it has not been used by that.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// Keeps a value, unless it alone is too heavy. The keys of others that had to go are returned.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: u64, now: Duration) -> Vec<K> {
        self.remove(&key);
        let mut gone = Vec::new();
        if weight > self.capacity {
            return gone;
        }
        while self.weight + weight > self.capacity {
            let Some(oldest) = self.by_use.first_key_value().map(|(_, key)| key.clone()) else { break };
            self.remove(&oldest);
            gone.push(oldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { value, weight, used: self.uses, used_at: now });
        self.weight += weight;
        gone
    }

    /// Lets a value go.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.weight -= entry.weight;
        }
    }

    /// Lets go all values from one key to another, both included; their keys.
    pub(crate) fn remove_range(&mut self, first: &K, last: &K) -> Vec<K> {
        let keys: Vec<K> = self.entries.range(first..=last).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            self.remove(key);
        }
        keys
    }

    /// Lets go what has not been used since `then`; how many these were.
    pub(crate) fn remove_unused_since(&mut self, then: Duration) -> usize {
        let mut gone = 0;
        while let Some((_, key)) = self.by_use.first_key_value() {
            let key = key.clone();
            if self.entries.get(&key).is_some_and(|entry| entry.used_at >= then) {
                break;
            }
            self.remove(&key);
            gone += 1;
        }
        gone
    }

    /// The weight of all values.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut lru = Lru::new(10);
        for key in 1..=3 {
            assert!(lru.insert(key, key * 100, 3, at(key)).is_empty());
        }
        assert_eq!(lru.get(&1, at(4)), Some(100));
        assert_eq!(lru.insert(4, 400, 3, at(5)), [2]);
        assert_eq!((lru.get(&2, at(6)), lru.get(&3, at(7)), lru.weight()), (None, Some(300), 9));
        assert!(lru.insert(5, 500, 11, at(8)).is_empty());
        assert_eq!((lru.get(&5, at(8)), lru.weight()), (None, 9));
        assert_eq!(lru.insert(3, 301, 10, at(9)), [1, 4]);
        assert_eq!((lru.get(&3, at(10)), lru.weight()), (Some(301), 10));
        assert!(lru.remove_range(&4, &9).is_empty());
        assert_eq!(lru.weight(), 10);
        assert_eq!(lru.remove_unused_since(at(10)), 0);
        assert_eq!((lru.remove_unused_since(at(11)), lru.weight()), (1, 0));
    }
}
