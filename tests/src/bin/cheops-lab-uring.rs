//! A client that connects, sends and receives by io_uring: `cheops-lab-uring ADDRESS`. Prints the answer's body.

use std::net::SocketAddr;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let to: SocketAddr = std::env::args().nth(1).context("no address")?.parse()?;
    tokio_uring::start(async {
        let stream = tokio_uring::net::TcpStream::connect(to).await?;
        let request = b"GET /uring HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n".to_vec();
        let (sent, _) = stream.write_all(request).await;
        sent?;
        let mut answer = Vec::new();
        loop {
            let (read, buffer) = stream.read(vec![0; 4096]).await;
            match read? {
                0 => break,
                count => answer.extend(buffer.into_iter().take(count)),
            }
        }
        print!("{}", String::from_utf8_lossy(&answer));
        Ok(())
    })
}
