//! The thread that writes the log of calls.

use tokio_util::sync::CancellationToken;

use super::ServeError;
use super::group::Group;
use crate::telemetry::access::{self, AccessLogConfig, AccessSink};
use crate::telemetry::metrics::AccessLogMetrics;

/// Opens the place that lines about calls go to, where there is one, and begins to write there. It is a thread of its own,
/// for a disk or a pipe may keep it waiting. It ends with `group`, and with the lines that it was given by then.
pub(super) fn begin(
    config: &AccessLogConfig,
    metrics: AccessLogMetrics,
    group: &Group,
) -> Result<Option<AccessSink>, ServeError> {
    let opened = access::open(config, metrics).map_err(ServeError::AccessLog)?;
    let Some((sink, writer)) = opened else {
        return Ok(None);
    };
    let ended = CancellationToken::new();
    let end = ended.clone().drop_guard();
    std::thread::Builder::new()
        .name("keyward-access".to_owned())
        .spawn(move || {
            let _end = end;
            writer.run();
        })?;
    let (stop, finishing) = (group.stop.clone(), sink.clone());
    group.spawn("access log", async move {
        tokio::select! {
            biased;
            () = stop.cancelled() => finishing.finish(),
            // Unasked: whoever spawned this notices.
            () = ended.cancelled() => {}
        }
        ended.cancelled().await;
    });
    Ok(Some(sink))
}
