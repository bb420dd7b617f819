//! One suite that every store passes: each rule is a test of each store.
//! A rule gets two handles on one empty store, as two processes have them on one file. A store that needs another rule
//! than the next one is wrong, or the rule is; where a store may choose (hearing of more changes than there were), the
//! rules say so.

mod by_hand;
mod changing;
mod clearing;
mod endpoints;
mod enqueueing;
pub mod fixture;
mod following;
mod leasing;
mod random;
mod reading;
mod recording;

use postrider::store::Store;
use postrider::store::memory::MemoryStore;

/// Two handles on one store.
pub struct Pair {
    pub first: Box<dyn Store>,
    pub second: Box<dyn Store>,
    /// Where the store's file lies, if it has one.
    _folder: Option<tempfile::TempDir>,
}

fn memory_pair() -> Pair {
    let first = MemoryStore::new();
    let second = first.another();
    Pair { first: Box::new(first), second: Box::new(second), _folder: None }
}

fn sqlite_pair() -> Pair {
    use postrider::store::sqlite::SqliteStore;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("postrider.db");
    let first = SqliteStore::open(&path).expect("a new store");
    let second = SqliteStore::open(&path).expect("the same store");
    Pair { first: Box::new(first), second: Box::new(second), _folder: Some(folder) }
}

/// Tests one store by every rule, as `STORE::ROOM::RULE`.
macro_rules! suite {
    ($store:ident: $make:ident; $($room:ident: $($rule:ident)+;)+) => {
        mod $store {
            $(mod $room {
                $(#[test]
                fn $rule() {
                    crate::conformance::$room::$rule(&mut crate::conformance::$make());
                })+
            })+
        }
    };
}

/// Names every rule once.
macro_rules! every_rule {
    ($store:ident by $make:ident) => {
        suite! {
            $store: $make;
            enqueueing:
                an_id_that_is_there_is_answered_without_storing
                each_recipient_is_owed_it_at_once
                the_event_is_kept_as_it_came
                the_same_request_again_gets_the_same_answer
                the_same_request_again_within_one_batch_is_again
                the_same_id_for_another_request_is_refused
                what_fires_once_does_not_fire_twice
                firing_once_comes_before_the_recipients
                a_gone_recipient_refuses_the_whole_event
                a_recipient_counts_once
                an_event_may_be_owed_to_nobody
                an_idempotency_key_is_one_requests
                an_idempotency_key_comes_first
                a_trace_is_kept_with_its_event
                a_one_off_receiver_is_made_and_found_again
                a_one_off_never_goes_to_a_registered_endpoint
                a_one_off_receiver_that_is_gone_is_made_anew
                a_refused_command_does_not_disturb_its_batch
                later_commands_of_a_batch_see_the_earlier
                an_empty_batch_is_well;
            leasing:
                a_lease_counts_the_attempt_and_carries_the_event
                nothing_is_leased_before_it_is_due
                the_earliest_due_goes_first_and_then_the_oldest
                a_leased_delivery_is_nobody_elses_until_its_lease_ends
                an_attempt_that_is_on_record_is_not_closed_as_unknown
                two_holders_share_a_lane_without_overlap
                the_limit_holds
                the_bytes_hold_but_the_first_always_goes
                what_used_up_its_attempts_dies_instead
                no_call_ends_more_than_its_limit
                a_last_lease_that_ends_in_silence_is_the_end
                next_due_is_the_earliest_of_all_that_is_left
                lanes_do_not_mix
                an_endpoint_that_is_gone_leases_nothing;
            recording:
                an_acceptance_delivers
                a_retry_waits_for_its_time
                a_used_up_schedule_ends_it
                an_endpoint_that_says_it_is_gone_is_disabled
                a_removed_endpoint_stays_removed_whatever_it_says
                an_attempt_is_kept_in_full
                an_ended_lease_counts_while_nobody_else_took_it
                a_late_acceptance_still_delivers
                a_late_acceptance_delivers_what_waits_as_well
                a_late_failure_is_kept_and_decides_nothing
                nothing_opens_again_what_has_ended
                a_known_outcome_is_never_forgotten_for_an_unknown_one
                an_outcome_of_nothing_that_is_known_is_lost;
            clearing:
                a_released_attempt_never_was
                only_the_holder_can_release
                recovery_frees_every_lease
                recovery_keeps_what_is_on_record
                a_gone_endpoint_is_buried_earliest_first
                an_attempt_in_flight_is_not_buried
                burying_an_ended_lease_closes_its_attempt
                a_retry_to_a_gone_endpoint_is_buried
                a_clock_step_moves_all_that_lies_ahead
                a_clock_set_forward_leaves_what_waits_and_extends_what_runs
                a_clock_step_back_moves_it_nearer
                pruning_keeps_what_is_owed_and_what_is_young
                pruning_takes_the_oldest_first
                a_clock_step_back_keeps_due_what_is_due
                recovery_spaces_what_dies_with_its_daemon_again_and_again
                recovery_makes_due_what_a_wrong_clock_put_off
                recovery_makes_due_what_was_asked_for_by_a_wrong_clock
                what_was_pruned_can_come_again
                pruning_takes_one_off_receivers_that_have_nothing_left
                a_number_is_never_used_twice;
            changing:
                what_was_told_is_not_told_again
                what_others_enqueue_is_told
                each_handle_is_told_of_the_other
                what_comes_between_own_work_is_told
                a_new_or_removed_endpoint_is_told
                an_endpoint_that_others_found_gone_is_told
                a_one_off_by_others_is_told
                what_others_move_is_told
                what_others_do_by_hand_is_told
                what_has_ended_meanwhile_need_not_be_told;
            endpoints:
                a_one_off_is_shown_while_it_is_owed
                an_endpoint_is_kept_as_it_was_given
                a_name_is_one_endpoints_while_it_is_there
                a_removed_endpoint_stays_for_its_history
                a_removed_endpoints_name_is_free
                nobody_is_removed_twice
                a_disabled_endpoint_can_be_removed;
            by_hand:
                a_paused_endpoint_is_owed_and_sent_nothing
                what_is_in_flight_to_a_paused_endpoint_goes_on
                a_paused_endpoint_can_go_for_good
                a_disabled_endpoint_is_resumed_not_paused
                only_an_endpoint_that_is_there_is_paused_resumed_or_edited
                an_edit_replaces_what_it_names_and_nothing_else
                what_had_ended_is_retried_with_its_schedule_anew
                a_retry_counts_attempts_from_where_it_began
                only_the_states_asked_for_are_retried
                what_waits_is_due_sooner_and_keeps_its_schedule
                nothing_is_retried_to_an_endpoint_that_is_gone
                recovery_and_clock_steps_treat_a_retry_as_new
                what_waits_is_cancelled
                what_is_in_flight_is_cancelled_and_its_lease_lost
                an_acceptance_after_all_delivers_what_was_cancelled
                what_was_cancelled_can_be_retried
                nothing_of_what_has_ended_is_cancelled
                tokens_are_kept_by_name_until_they_are_removed;
            following:
                every_outcome_is_logged_with_the_state_it_led_to
                what_ends_without_an_attempt_is_logged_too
                an_unknown_attempt_is_logged_once
                the_log_goes_on_from_any_number
                what_was_pruned_is_left_out_and_its_numbers_stay
                the_log_keeps_its_newest_entries;
            reading:
                pages_go_from_the_newest_to_the_oldest
                each_filter_holds_and_all_combine
                a_type_filter_is_what_a_subscription_covers
                lanes_say_what_is_owed_and_when
                everything_is_counted
                reading_changes_nothing;
            random:
                it_behaves_like_the_reference
                two_handles_behave_like_the_reference;
        }
    };
}

every_rule!(memory by memory_pair);
every_rule!(sqlite by sqlite_pair);
