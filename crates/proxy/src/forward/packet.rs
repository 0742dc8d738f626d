//! A packet's way (contract 04 A.4): checked, routed, signed.

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_edge::clock::now_ms;
use fate_proto::proxy::{Packet, Topic};

use super::{Arrival, Forwarder, model_route, no_route, not_allowed};
use crate::auth;
use crate::route_table::{PartyRole, Route};
use crate::wire_packet::WirePacket;

impl Forwarder {
    /// Where a packet goes, and the packet as it goes there.
    ///
    /// # Errors
    /// 110 without parties or addresses for them, 128 without a route or permission, 129 without a signature, 105 when the
    /// route cannot be used.
    pub fn packet(
        &self,
        arrival: Arrival,
        packet: WirePacket,
    ) -> Result<(Route, WirePacket), Fault> {
        let parties = Parties::of(packet.packet())?;
        self.check_signature(arrival, packet.packet())?;
        let route = self.route(arrival, packet.packet(), parties)?;
        let packet = self.signed(packet)?;
        Ok((route, packet))
    }

    /// What comes from this party's servers is not checked: they have no keys.
    fn check_signature(&self, arrival: Arrival, packet: &Packet) -> Result<(), Fault> {
        let (Arrival::Inter, Some(auth)) = (arrival, &self.auth) else {
            return Ok(());
        };
        auth.check(packet, now_ms()).map_err(|refusal| {
            tracing::warn!("a packet of another party is refused: {refusal}");
            auth::check_failed()
        })
    }

    fn route(
        &self,
        arrival: Arrival,
        packet: &Packet,
        parties: Parties<'_>,
    ) -> Result<Route, Fault> {
        let Parties { from, to, .. } = parties;
        if let Some(route) = self.registered_host(arrival, packet)? {
            return if self.enforce.registry && !self.allows(from, to) {
                Err(not_allowed(from, to))
            } else {
                Ok(route)
            };
        }
        self.listed(parties)
    }

    /// Only other parties are after the models of this party's servers.
    fn registered_host(&self, arrival: Arrival, packet: &Packet) -> Result<Option<Route>, Fault> {
        if arrival == Arrival::Intra {
            return Ok(None);
        }
        if let Some(at_home) = &self.at_home
            && at_home.server().holds(packet)
        {
            return Ok(Some(at_home.route()));
        }
        if self.registry.is_none() {
            return Ok(None);
        }
        let environment = model_route::environment(packet)?;
        Ok(environment.and_then(|environment| self.registered(&environment, "unaryCall")))
    }

    fn listed(&self, parties: Parties<'_>) -> Result<Route, Fault> {
        let Parties { from, to, .. } = parties;
        if let Some(route) = self.unlisted_own(to.party_id) {
            return if self.enforce.table && !self.allows(from, to) {
                Err(not_allowed(from, to))
            } else {
                Ok(route)
            };
        }
        let table = self.table.current().ok_or_else(no_route)?;
        if self.enforce.table && !table.allows(from, to) {
            return Err(not_allowed(from, to));
        }
        parties.destination_is_complete()?;
        let routes = table.routes(to);
        let routes = routes.map_err(|error| Fault::new(ReturnCode::SYSTEM, error.to_string()))?;
        let route = self.choice.of(routes, to).ok_or_else(no_route)?;
        match route.fault() {
            Some(fault) => {
                let text = format!("grpc unaryCall error {}: {fault}", route.shown);
                Err(Fault::new(ReturnCode::NET, text))
            }
            None => Ok(self.shortened(route.clone())),
        }
    }

    /// Signed by this party, unless the packet stays with it.
    fn signed(&self, packet: WirePacket) -> Result<WirePacket, Fault> {
        let Some(auth) = &self.auth else {
            return Ok(packet);
        };
        let signature = auth.sign(packet.packet(), now_ms())?;
        Ok(match signature {
            Some(signature) => packet.with_auth(signature),
            None => packet,
        })
    }
}

/// Who sends a packet to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parties<'a> {
    pub(super) from: PartyRole<'a>,
    pub(super) to: PartyRole<'a>,
    destination: Option<&'a Topic>,
}

impl<'a> Parties<'a> {
    /// Both must have a party id; the receiver's is looked at first.
    pub(super) fn of(packet: &'a Packet) -> Result<Self, Fault> {
        let header = packet.header.as_ref();
        let source = header.and_then(|header| header.src.as_ref());
        let destination = header.and_then(|header| header.dst.as_ref());
        let side = |topic: Option<&'a Topic>, missing: &str| {
            let (party_id, role) = topic.map_or(("", ""), |topic| (&topic.party_id, &topic.role));
            if party_id.is_empty() {
                return Err(Fault::new(ReturnCode::SYSTEM, missing));
            }
            Ok(PartyRole { party_id, role })
        };
        let to = side(destination, "host id is null")?;
        let from = side(source, "guest id is null")?;
        Ok(Self {
            from,
            to,
            destination,
        })
    }

    /// The route table wants a name as well, though it does not look at it.
    fn destination_is_complete(&self) -> Result<(), Fault> {
        let name = self.destination.map_or("", |topic| &topic.name);
        let is_blank = |text: &str| text.trim().is_empty();
        if ![name, self.to.party_id, self.to.role]
            .into_iter()
            .any(is_blank)
        {
            return Ok(());
        }
        let text = format!(
            "one of dstTopic name, coordinator, role is null. dstTopic: {}",
            shown(self.destination)
        );
        Err(Fault::new(ReturnCode::SYSTEM, text))
    }
}

/// A topic as protobuf prints it: a line per field that is set.
fn shown(topic: Option<&Topic>) -> String {
    let Some(topic) = topic else {
        return String::new();
    };
    let fields = [
        ("name", &topic.name),
        ("partyId", &topic.party_id),
        ("role", &topic.role),
    ];
    let lines = fields.into_iter().filter(|(_, value)| !value.is_empty());
    lines
        .map(|(name, value)| format!("{name}: {:?}\n", super::shortened(value)))
        .collect()
}
