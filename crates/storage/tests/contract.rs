//! The storage contract: one suite, run over every engine, and what is particular to each.

#![allow(
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that fails by a panic has failed as it should"
)]

mod backend;
mod crash;
mod postgres_only;
mod postgres_server;
mod sqlite_only;
mod suite;

/// Runs the whole suite over one engine.
macro_rules! contract {
    ($engine:ident: $($area:ident { $($test:ident)* })*) => {
        mod $engine {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::suite::$area::$test(crate::backend::Backend::$engine()).await;
                }
            )*)*
        }
    };
}

macro_rules! contract_over {
    ($($engine:ident)*) => {
        $(suite! { $engine })*
    };
}

/// The tests of the suite, by the file they stand in.
macro_rules! suite {
    ($engine:ident) => {
        contract! { $engine:
            entries {
                binary_keys_are_kept_apart_and_in_order
                get_of_missing_key_is_none
                large_and_empty_values_come_back_whole
                longest_key_is_stored_and_scanned
                put_then_get_returns_value_and_revision
            }
            batches {
                batch_beyond_its_limits_is_refused
                batch_changing_nothing_has_a_revision
                batch_naming_a_key_twice_is_invalid
                batch_with_one_failing_expectation_changes_nothing
                batch_with_deletes_removes_only_its_keys
                entries_of_one_batch_share_its_revision
                expectations_hold_and_fail_as_documented
                revisions_increase_strictly
            }
            groups {
                concurrent_batches_on_one_key_are_ordered
                concurrent_counters_lose_no_increment
                failing_batches_of_a_group_fail_alone
                large_batches_at_once_are_all_committed
                readers_see_batches_whole
            }
            model {
                random_batches_and_scans_agree_with_a_model
            }
            paging {
                page_ends_at_the_value_limit_with_at_least_one_entry
                pages_cover_everything_once_in_order
                prefix_at_the_edges_of_the_byte_range_is_exact
                scan_after_a_key_outside_the_prefix_is_clamped
                scan_of_nothing_is_an_empty_page
            }
            leadership {
                batch_under_an_old_epoch_is_fenced_and_changes_nothing
                batch_under_no_leader_is_fenced
                leader_is_reported_with_its_lease
                leadership_passes_on_after_release
                names_beyond_their_limits_are_refused
                renewal_under_an_old_epoch_is_fenced
            }
            snapshots {
                load_where_it_must_not_be_is_a_conflict_and_changes_nothing
                loaded_store_has_entries_and_revisions_of_the_other
                snapshot_of_an_empty_store_is_empty_and_a_closed_one_has_none
                snapshot_shows_one_revision_while_a_writer_goes_on
            }
            lifecycle {
                purge_keeps_what_is_there_and_everybody_goes_on
                closed_store_refuses_everything_and_closes_twice
                commit_still_running_when_closing_is_answered
                dropped_calls_do_not_harm_later_ones
                reopened_store_has_everything_and_goes_on_counting
                stats_count_commits_conflicts_and_rows
            }
        }
    };
}

contract_over! { memory postgres sqlite }
