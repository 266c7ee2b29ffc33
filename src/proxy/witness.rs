use super::trace::Trace;
use crate::telemetry::metrics::ProxyMetrics;

/// Tells which request it was when answering it ends in a panic: a mistake of ours, which ends this request's
/// connection (of HTTP/2 its stream) and no other. What panicked and where is told by the panic itself.
pub(super) struct Witness<'p> {
    trace: &'p Trace,
    metrics: &'p ProxyMetrics,
}

impl<'p> Witness<'p> {
    /// Watches until it is dropped. Costs nothing before.
    pub(super) const fn of(trace: &'p Trace, metrics: &'p ProxyMetrics) -> Self {
        Self { trace, metrics }
    }
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        // A request whose caller has gone is dropped as well, and is no panic.
        if std::thread::panicking() {
            self.metrics.panicked();
            let id = self.trace.id();
            tracing::error!(request.id = id, "answering a request ended in a panic");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use http::HeaderValue;
    use tokio::task::{LocalSet, yield_now};

    use super::super::trace::IdMaker;
    use super::*;
    use crate::message::Fields;
    use crate::telemetry;

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    async fn answer(id: &'static str, metrics: ProxyMetrics, panics: bool) -> &'static str {
        let mut headers = Fields::new();
        let name = super::super::trace::REQUEST_ID.clone();
        headers.append(name, HeaderValue::from_static(id));
        let trace = Trace::of(&headers, &IdMaker::new(1));
        let _witness = Witness::of(&trace, &metrics);
        yield_now().await;
        assert!(!panics, "a mistake of ours");
        yield_now().await;
        id
    }

    #[tokio::test]
    async fn a_panic_is_counted_told_by_its_request_and_ends_no_other() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let (metrics, renderer) = telemetry::install();
        let counted = |number: u32| {
            let line = format!("keyward_request_panics_total {number}\n");
            renderer.render().contains(&line)
        };
        assert!(counted(0));
        let tasks = LocalSet::new();
        let others = tasks.spawn_local(answer("other", metrics.proxy.clone(), false));
        let panics = tasks.spawn_local(answer("panics", metrics.proxy.clone(), true));
        let given_up = tasks.spawn_local(answer("given-up", metrics.proxy.clone(), false));
        given_up.abort();
        tasks.await;
        assert!(panics.await.is_err_and(|error| error.is_panic()));
        assert_eq!(others.await.ok(), Some("other"));
        assert!(counted(1), "{}", renderer.render());
        let told = "answering a request ended in a panic request.id=\"panics\"";
        assert_eq!(log.text().matches("ended in a panic").count(), 1);
        assert!(log.text().contains(told), "{}", log.text());
    }
}
