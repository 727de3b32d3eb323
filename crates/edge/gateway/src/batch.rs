//! Batches: arrays of messages, which 2025-03-26 has and every other revision has not.

use bytes::Bytes;
use interlock_mcp::{Frame, FrameError, RpcError};
use interlock_model::Code;
use interlock_model::json::{Json, Limits};
use tokio::task::JoinSet;

/// Most messages in one batch.
const MOST: usize = 64;

/// The messages of a batch, each read by itself.
///
/// # Errors
///
/// What to answer to the batch as a whole: it is empty, too long, or no JSON.
pub(crate) fn split(text: &Bytes) -> Result<Vec<Result<Frame, FrameError>>, RpcError> {
    let limits = Limits { depth: Limits::REQUEST.depth + 1, ..Limits::REQUEST };
    let json = Json::parse(text, limits).map_err(|e| crate::era::unreadable(e.into()))?;
    let spans: Vec<_> = json.root().elements().map(|element| element.span()).take(MOST + 1).collect();
    match spans.len() {
        0 => Err(RpcError::new(RpcError::INVALID_REQUEST, Code::Malformed, "an empty batch")),
        n if n > MOST => Err(RpcError::new(
            RpcError::INVALID_REQUEST,
            Code::TooLarge,
            format!("a batch of more than {MOST} messages"),
        )),
        _ => Ok(spans.into_iter().map(|span| Frame::parse(text.slice(span), Limits::REQUEST)).collect()),
    }
}

/// Answers the messages of a batch side by side; `None` where none of them has an answer.
pub(crate) async fn answer<F>(work: impl Iterator<Item = F>) -> Option<Bytes>
where
    F: Future<Output = Option<Bytes>> + Send + 'static,
{
    let mut set = JoinSet::new();
    for (at, work) in work.enumerate() {
        set.spawn(async move { (at, work.await) });
    }
    let mut answers = Vec::new();
    while let Some(done) = set.join_next().await {
        if let Ok((at, Some(answer))) = done {
            answers.push((at, answer));
        }
    }
    answers.sort_by_key(|(at, _)| *at);
    (!answers.is_empty()).then(|| {
        let mut out = Vec::with_capacity(2 + answers.iter().map(|(_, a)| a.len() + 1).sum::<usize>());
        for (i, (_, answer)) in answers.iter().enumerate() {
            out.push(if i == 0 { b'[' } else { b',' });
            out.extend_from_slice(answer);
        }
        out.push(b']');
        out.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting() {
        let split = |text: &str| split(&Bytes::copy_from_slice(text.as_bytes()));
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let parts = split(&format!("[{ping}, 7,[{ping}]]")).unwrap();
        assert!(matches!(parts[0], Ok(Frame::Request(_))));
        assert_eq!(parts[1].as_ref().err(), Some(&FrameError::Form));
        assert_eq!(parts[2].as_ref().err(), Some(&FrameError::Batch));
        assert_eq!(split("[]").unwrap_err().code, Code::Malformed);
        assert_eq!(split("[1").unwrap_err().code, Code::Malformed);
        assert_eq!(split(&format!("[{}1]", "1,".repeat(MOST))).unwrap_err().code, Code::TooLarge);
    }

    #[tokio::test]
    async fn answers_keep_the_order_of_the_questions() {
        let wait = |ms: u64, text: Option<&'static str>| async move {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            text.map(|t| Bytes::from_static(t.as_bytes()))
        };
        let all = answer([wait(20, Some("1")), wait(1, None), wait(5, Some("2"))].into_iter()).await;
        assert_eq!(all.unwrap(), "[1,2]");
        assert_eq!(answer([wait(1, None)].into_iter()).await, None);
    }
}
