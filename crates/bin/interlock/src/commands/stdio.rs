//! `interlock stdio`: standard input and output joined to the daemon. Nothing is decided here.

use super::{Context, Done, Failed, client};
use crate::cli::StdioArgs;
use interlock_model::ServerName;
use zeroize::Zeroizing;

pub(super) async fn run(context: &Context, args: StdioArgs) -> Result<Done, Failed> {
    let config = context.config()?;
    let server = args.server.as_deref().map(ServerName::new).transpose().map_err(Failed::usage)?;
    let key = args.key.map(Zeroizing::new);
    let daemon = client::connect(context, &config).await?;
    let stream = daemon.into_mcp_stream(key.as_ref().map(|k| k.as_str()), server.as_ref()).await?;
    let (mut from_daemon, mut to_daemon) = stream.split();
    let mut stdout = tokio::io::stdout();
    let input = tokio::spawn(async move {
        let copied = tokio::io::copy(&mut tokio::io::stdin(), &mut to_daemon).await;
        // The host is done: the daemon finishes what is under way and closes its side.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut to_daemon).await;
        copied
    });
    tokio::io::copy(&mut from_daemon, &mut stdout).await.map_err(Failed::unanswered)?;
    input.abort();
    Ok(Done::Yes)
}
