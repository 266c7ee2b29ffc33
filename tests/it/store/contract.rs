//! What any key database must do: one suite, every database.

mod audit;
mod bell;
mod bulk;
mod by_hand;
mod calls;
mod instances;
mod keys;
mod lists;
mod log;
mod names;
mod rotation;
mod teams;
mod unreadable;

use crate::support::store::Database;

/// The databases, a line each, and what holds for each of them.
macro_rules! suite {
    ($($room:ident::$test:ident),+ $(,)?) => {
        mod sqlite {
            use super::Database;

            $(#[tokio::test]
            async fn $test() {
                super::$room::$test(&Database::sqlite().await).await;
            })+
        }

        mod postgres {
            use super::Database;

            $(#[tokio::test]
            async fn $test() {
                // Nothing when somebody has asked to go without it.
                if let Some(database) = Database::postgres().await {
                    super::$room::$test(&database).await;
                }
            })+
        }

        /// All of it, one after the other, each on a new database that `make` makes.
        pub async fn every(make: impl AsyncFn() -> Database) {
            $({
                // Shown when it fails.
                println!(stringify!($room::$test));
                let database = Box::pin(make()).await;
                Box::pin($room::$test(&database)).await;
            })+
        }
    };
}

suite! {
    keys::a_key_is_stored_as_it_was_given,
    keys::a_deleted_key_is_nowhere_and_cannot_be_deleted_again,
    keys::what_an_update_does_not_name_stays,
    keys::a_key_can_be_switched_off_and_on,
    keys::a_key_can_get_another_category_and_team,
    keys::an_update_to_no_team_of_the_organisation_is_refused,
    keys::a_key_that_may_do_something_else_by_now_is_not_changed,
    keys::an_update_of_no_live_key_is_refused,
    rotation::the_old_text_works_until_its_grace_is_over,
    rotation::a_rotation_without_grace_ends_the_old_text_at_once,
    rotation::a_second_rotation_ends_the_first_text,
    rotation::the_longest_grace_does_not_overflow,
    keys::prefixes_and_texts_are_taken_for_ever,
    lists::keys_are_listed_newest_first,
    lists::a_list_shows_what_its_filter_lets_through,
    lists::a_list_is_told_in_pages,
    keys::the_later_moment_of_use_is_kept,
    keys::moments_of_unknown_keys_and_no_moments_are_no_error,
    lists::a_fill_gives_every_live_key_once,
    lists::a_fill_tells_each_key_as_it_is,
    audit::a_change_leaves_who_when_from_where_and_what,
    audit::an_import_leaves_a_trace_of_each_key,
    audit::what_was_refused_leaves_none,
    audit::the_trail_is_only_added_to,
    audit::the_trail_is_told_in_pages,
    audit::a_change_by_plain_sql_is_told_as_nobodys,
    audit::what_is_no_key_is_told_by_its_name,
    bulk::an_imported_key_is_stored_as_it_was_given,
    bulk::an_imported_key_without_a_moment_or_an_id_gets_them,
    bulk::an_import_done_again_changes_nothing,
    bulk::every_conflict_is_told_and_stops_what_came_with_it,
    bulk::what_is_in_conflict_can_be_left_out,
    bulk::a_name_is_given_up_only_where_it_alone_is_taken,
    bulk::of_two_keys_in_one_import_the_first_is_stored,
    bulk::a_dry_run_says_the_same_and_writes_nothing,
    bulk::an_import_into_no_team_is_refused_whole,
    bulk::an_import_of_nothing_is_nothing,
    bulk::pages_tell_every_live_key_once,
    bulk::a_key_of_ours_can_be_imported_too,
    names::a_name_is_taken_once_in_its_team,
    names::a_name_of_a_personal_key_is_taken_once_for_its_owner,
    names::unnamed_keys_are_exempt,
    names::a_deleted_key_gives_its_name_back,
    names::a_refused_rename_changes_nothing,
    log::a_look_at_the_end_finds_nothing,
    log::several_changes_of_a_key_are_told_once,
    log::a_long_log_is_told_in_batches,
    log::changes_are_told_in_order,
    log::a_trimmed_log_is_lost_and_a_fill_helps,
    log::a_log_trimmed_to_nothing_is_lost_only_to_those_behind,
    log::a_cursor_past_the_end_is_lost,
    log::a_gap_in_the_log_is_lost,
    log::old_entries_go_when_new_ones_are_written,
    log::a_refused_change_is_not_logged,
    log::the_time_is_the_database_s,
    by_hand::every_statement_that_matters_is_logged,
    by_hand::a_replaced_row_is_logged,
    by_hand::a_moment_of_use_is_not_logged,
    by_hand::a_renamed_team_is_told_with_its_keys,
    by_hand::a_digest_is_never_that_of_two_keys,
    unreadable::a_row_that_is_no_key_is_set_aside_and_the_others_work,
    unreadable::an_unknown_category_is_kept_and_shown,
    unreadable::a_key_that_becomes_unreadable_is_gone,
    unreadable::an_empty_scope_is_read_as_it_is,
    teams::one_organisation_and_one_default_team_are_there_from_the_start,
    teams::a_key_goes_to_the_team_it_names,
    teams::a_key_for_no_team_is_refused,
    teams::a_team_name_is_taken_once,
    teams::the_admin_token_that_was_kept_first_stays,
    bell::the_bell_rings_once_to_begin_with,
    bell::the_bell_rings_for_a_change_of_our_own,
    bell::the_bell_rings_for_a_change_by_hand,
    bell::a_ring_nobody_waited_for_is_not_lost,
    bell::a_wait_that_was_given_up_loses_no_ring,
    bell::closing_ends_the_wait,
    instances::an_instance_is_there_until_it_ends,
    instances::an_instance_that_falls_silent_is_told_as_long_as_it_may_serve,
    instances::what_an_instance_left_behind_goes_when_another_reports,
    instances::reports_are_no_changes_of_keys,
    instances::positions_are_wanted_until_their_time_is_over,
    instances::many_who_want_positions_write_seldom,
    instances::the_bell_rings_when_positions_are_wanted,
    instances::a_revocation_is_dated_to_the_millisecond,
    instances::what_is_deleted_by_hand_is_dated_too,
    instances::an_entry_without_milliseconds_is_read_and_measures_nothing,
    calls::writers_at_the_same_time_all_succeed,
    calls::readers_go_on_while_somebody_writes,
    calls::a_dropped_call_is_done_or_not_and_the_next_one_works,
    calls::calls_after_closing_fail,
}
