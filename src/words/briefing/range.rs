//! Single addresses or a whole range: what the public addresses of our egresses show of an edge's list.
//!
//! A list holds addresses or ranges. Neighbours of a refused address that pass speak against the range; refused ones that
//! share a network while all others pass speak for it. Which network a list means, nobody outside can know: told is
//! what ours show.

use std::net::IpAddr;

use super::story::Story;
use crate::domain::cell::{CellKey, EgressName};
use crate::domain::diagnosis::Level;

/// Bits of the network in which two addresses are neighbours.
const V4_BITS: u8 = 24;
const V6_BITS: u8 = 48;
/// Addresses of one network before it says anything.
const ADDRESSES_MIN: usize = 3;

impl Story<'_> {
    /// A sentence on the neighbours, where egresses are blamed.
    pub(super) fn range(&self) -> Option<String> {
        let of_egress = |level: &Level| matches!(level, Level::Egress(_) | Level::Region { .. });
        if !self.blamed().iter().any(of_egress) && !self.blames_several_egresses() {
            return None;
        }
        let diagnosis = &self.incident.diagnosis;
        let fail = self.addresses(&diagnosis.failing);
        let mut pass = self.addresses(&diagnosis.passing);
        // One that fails for some and passes for others is neither.
        pass.retain(|address| !fail.contains(address));
        told(&fail, &pass)
    }

    fn blames_several_egresses(&self) -> bool {
        use crate::domain::diagnosis::Cause;
        let cause = &self.incident.diagnosis.cause;
        let egress = |cause: &Cause| matches!(cause.levels(), [Level::Egress(_)]);
        self.named() && matches!(cause, Cause::AnyOf(causes) if causes.iter().all(egress))
    }

    /// The public addresses of the egresses of these cells, each once.
    fn addresses(&self, cells: &[CellKey]) -> Vec<IpAddr> {
        let mut names: Vec<&EgressName> = cells.iter().map(|cell| &cell.egress).collect();
        names.sort_unstable();
        names.dedup();
        let public = names
            .into_iter()
            .filter_map(|name| self.plan.egress(name)?.public);
        let mut all: Vec<IpAddr> = public.collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// What the addresses show that fail and that pass.
fn told(fail: &[IpAddr], pass: &[IpAddr]) -> Option<String> {
    let first = *fail.first()?;
    let network = network(first, bits(first));
    if !fail.iter().all(|address| within(*address, network)) {
        return None;
    }
    let near: Vec<&IpAddr> = pass.iter().filter(|pass| within(**pass, network)).collect();
    let all = fail.len() + near.len();
    if !near.is_empty() && all >= ADDRESSES_MIN {
        return Some(format!(
            "single addresses: {} of our {all} in {} pass",
            near.len(),
            shown(network)
        ));
    }
    if near.is_empty() && fail.len() >= ADDRESSES_MIN && !pass.is_empty() {
        return Some(format!(
            "perhaps a range: all {} of our addresses in {} fail, those of other networks pass",
            fail.len(),
            shown(narrowest(fail))
        ));
    }
    None
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { V4_BITS } else { V6_BITS }
}

/// An address as a number, in the upper bits, so that both versions are cut alike.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(bits: u8) -> u128 {
    match bits {
        0 => 0,
        bits => u128::MAX << (128 - u32::from(bits.min(128))),
    }
}

fn network(address: IpAddr, bits: u8) -> (IpAddr, u8) {
    let start = number(address) & mask(bits);
    let start = match address {
        IpAddr::V4(_) => IpAddr::V4(((start >> 96) as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(start.into()),
    };
    (start, bits)
}

fn within(address: IpAddr, (start, bits): (IpAddr, u8)) -> bool {
    address.is_ipv4() == start.is_ipv4() && (number(address) ^ number(start)) & mask(bits) == 0
}

/// The narrowest network that holds all of them; what else it holds nobody asked.
fn narrowest(addresses: &[IpAddr]) -> (IpAddr, u8) {
    let Some(first) = addresses.first().copied() else {
        return (IpAddr::from([0, 0, 0, 0]), 0);
    };
    let whole = if first.is_ipv4() { 32 } else { 128 };
    let differ = addresses.iter().map(|it| number(*it) ^ number(first));
    let common = differ.map(u128::leading_zeros).min().unwrap_or(128);
    network(first, u8::try_from(common).unwrap_or(128).min(whole))
}

fn shown((start, bits): (IpAddr, u8)) -> String {
    format!("{start}/{bits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_tell_addresses_from_ranges() {
        let check = |fail: &str, pass: &str, expected: Option<&str>| {
            let read = |text: &str| {
                let each = text.split_whitespace().map(|it| it.parse().unwrap());
                each.collect::<Vec<IpAddr>>()
            };
            assert_eq!(
                told(&read(fail), &read(pass)).as_deref(),
                expected,
                "{fail} / {pass}"
            );
        };
        let sixteen: Vec<String> = (0..12).map(|n| format!("192.0.2.{n}")).collect();
        check(
            "192.0.2.20 192.0.2.21 192.0.2.30 192.0.2.31",
            &sixteen.join(" "),
            Some("single addresses: 12 of our 16 in 192.0.2.0/24 pass"),
        );
        check(
            "192.0.2.16 192.0.2.17 192.0.2.31",
            "198.51.100.7",
            Some(
                "perhaps a range: all 3 of our addresses in 192.0.2.16/28 fail, those of other networks pass",
            ),
        );
        check(
            "2001:db8:1::1 2001:db8:1::2 2001:db8:1::3",
            "2001:db8:2::1",
            Some(
                "perhaps a range: all 3 of our addresses in 2001:db8:1::/126 fail, those of other networks pass",
            ),
        );
        check("192.0.2.1", "192.0.2.2", None);
        check("192.0.2.1 192.0.2.2", "198.51.100.7", None);
        check("192.0.2.1 192.0.2.2 192.0.2.3", "", None);
        check(
            "192.0.2.1 198.51.100.7 203.0.113.9",
            "192.0.2.2 192.0.2.3",
            None,
        );
    }
}
