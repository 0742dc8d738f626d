//! Who is killed when, and how long it is missed.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;

/// What a killed process costs after it is back: proxies look for a peer that they have left aside once a second, and
/// sessions of ZooKeeper begin anew.
const SETTLING: Duration = Duration::from_secs(3);

/// Small, repeatable randomness (xorshift64*).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_millis()).unwrap();
        Duration::from_millis(self.below(longest + 1))
    }
}

/// A time in which something was down, and its victims.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) victims: Vec<String>,
    pub(super) from: Duration,
    /// When everything is as before.
    pub(super) until: Duration,
}

impl Trouble {
    /// Whether a call of this time may have met it.
    pub(super) fn meets(&self, from: Duration, until: Duration) -> bool {
        self.from <= until && from <= self.until
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Member(usize),
    ZooKeeperOfGuest,
    ZooKeeperOfHost,
    Redis,
}

/// Kills and brings back.
pub(super) struct Fire<'a> {
    cluster: &'a mut Cluster,
    dice: Dice,
    began: Instant,
}

impl<'a> Fire<'a> {
    pub(super) fn new(cluster: &'a mut Cluster, dice: Dice, began: Instant) -> Self {
        Self {
            cluster,
            dice,
            began,
        }
    }

    /// One trouble after the other, with rests between; everything runs at the end.
    pub(super) fn until(mut self, length: Duration) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        while self.began.elapsed() < length {
            let rest = Duration::from_secs(1) + self.dice.up_to(Duration::from_secs(3));
            std::thread::sleep(rest);
            troubles.push(self.trouble());
        }
        // Errors after the last one would be unexplained.
        std::thread::sleep(Duration::from_secs(2));
        troubles
    }

    fn trouble(&mut self) -> Trouble {
        let victims = self.victims();
        let from = self.began.elapsed();
        for victim in &victims {
            self.kill(*victim);
        }
        let pause = self.dice.up_to(Duration::from_secs(3));
        std::thread::sleep(pause);
        for victim in &victims {
            self.start(*victim);
        }
        for victim in &victims {
            if let Victim::Member(index) = victim {
                self.cluster.members[*index].wait_until_ready();
            }
        }
        std::thread::sleep(SETTLING);
        Trouble {
            victims: victims.iter().map(|victim| self.name(*victim)).collect(),
            from,
            until: self.began.elapsed(),
        }
    }

    /// One, and every fourth time another one as well.
    fn victims(&mut self) -> Vec<Victim> {
        let first = self.victim();
        let mut victims = vec![first];
        if self.dice.below(4) == 0 {
            let second = self.victim();
            if second != first {
                victims.push(second);
            }
        }
        victims
    }

    fn victim(&mut self) -> Victim {
        let members = self.cluster.members.len() as u64;
        // Every third time what the members need.
        match self.dice.below(members * 3 / 2) {
            index if index < members => Victim::Member(index as usize),
            other if other % 3 == 0 => Victim::ZooKeeperOfGuest,
            other if other % 3 == 1 => Victim::ZooKeeperOfHost,
            _ => Victim::Redis,
        }
    }

    fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Member(index) => self.cluster.members[index].kill(),
            Victim::ZooKeeperOfGuest => self.cluster.of_guest.kill(),
            Victim::ZooKeeperOfHost => self.cluster.of_host.kill(),
            Victim::Redis => self.cluster.redis.kill(),
        }
    }

    fn start(&mut self, victim: Victim) {
        match victim {
            Victim::Member(index) => self.cluster.members[index].start(),
            Victim::ZooKeeperOfGuest => self.cluster.of_guest.restart(),
            Victim::ZooKeeperOfHost => self.cluster.of_host.restart(),
            Victim::Redis => self.cluster.redis.restart(),
        }
    }

    fn name(&self, victim: Victim) -> String {
        match victim {
            Victim::Member(index) => self.cluster.members[index].name.clone(),
            Victim::ZooKeeperOfGuest => "guest's ZooKeeper".to_owned(),
            Victim::ZooKeeperOfHost => "host's ZooKeeper".to_owned(),
            Victim::Redis => "Redis".to_owned(),
        }
    }
}
