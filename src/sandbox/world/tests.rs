//! What the tests of the machines share: a world with settings, and steps that check every notification they make against
//! the provider's payload rules.

use super::*;
use crate::endpoint::ProfileName;
use crate::event::EventType;
use crate::provider;

/// 2026-11-25T12:00:00Z.
pub const BEGAN: Time = Time::from_ms(1_795_608_000_000);

pub fn settings() -> Settings {
    Settings {
        delay: Span::from_seconds(1),
        max_payout: Amount::parse("10000").unwrap(),
        max_duration: Span::from_hours(24 * 365),
        risk_module: Address::new([7; 20]),
        quote_signer: Address::new([8; 20]),
        decide: Decide::ByHand,
    }
}

/// A world and the entries that made it.
pub struct Story {
    pub world: World,
    pub entries: Vec<Entry>,
}

impl Story {
    pub fn new(settings: Settings) -> Self {
        let mut story = Story { world: World::default(), entries: Vec::new() };
        story.at(Span::ZERO, Command::Settings(settings)).unwrap();
        story
    }

    /// So long after the beginning.
    pub fn at(&mut self, after: Span, command: Command) -> Result<Done, Refusal> {
        let before = format!("{:?}", self.world);
        let entry = Entry { at: BEGAN + after, seed: self.entries.len() as u64 * 7919 + 1, command };
        let done = self.world.apply(&entry);
        match &done {
            Ok(done) => {
                done.notification.iter().for_each(check);
                self.entries.push(entry);
            }
            Err(_) => assert_eq!(format!("{:?}", self.world), before, "a refusal changes nothing"),
        }
        done
    }

    /// Does what is due by then, as the desk does; what the partner is told of it.
    pub fn until(&mut self, after: Span) -> Vec<(&'static str, Value)> {
        let mut told = Vec::new();
        while let Some((at, command)) = self.world.due()
            && at <= BEGAN + after
        {
            let done = self.at(at.since(BEGAN), command).unwrap();
            told.extend(done.notification.map(|it| (it.event_type, serde_json::from_slice(&it.body).unwrap())));
        }
        told
    }
}

/// No notification of the sandbox breaks a rule of its provider, nor warrants a warning.
fn check(notification: &Notification) {
    let profile = match notification.to {
        To::Ensuro => ProfileName::Ensuro,
        To::WebHook(_) => ProfileName::Octamile,
    };
    let event_type = EventType::parse(notification.event_type).unwrap();
    let checked = provider::check(profile, &event_type, &notification.body);
    assert_eq!(checked.map(|checked| checked.warnings), Ok(vec![]), "{}", String::from_utf8_lossy(&notification.body));
}

#[test]
fn nothing_is_decided_before_there_are_settings() {
    let mut world = World::default();
    let command = Command::Octamile(octamile::Command::Register {});
    assert!(matches!(world.apply(&Entry { at: BEGAN, seed: 1, command }), Err(Refusal::Conflict(_))));
}

#[test]
fn time_never_goes_back() {
    let mut story = Story::new(settings());
    story.at(Span::from_hours(1), Command::Advance { by: Span::from_minutes(5) }).unwrap();
    assert_eq!(story.world.ahead(), Span::from_minutes(5));
    assert_eq!(story.world.no_earlier(BEGAN), BEGAN + Span::from_hours(1));
    assert_eq!(story.world.no_earlier(BEGAN + Span::from_hours(2)), BEGAN + Span::from_hours(2));
}
