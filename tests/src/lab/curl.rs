//! A real client at a host.

use anyhow::bail;

use super::client::Answer;
use super::host::Host;

impl Host {
    /// Runs curl here, in the host's namespace and cgroup, and gives the last answer. `--include`, `--silent`,
    /// `--show-error`, `--max-time 60` and `--noproxy '*'` are given; arguments come after them.
    ///
    /// # Errors
    /// When curl ends with another code than 0; the error has what it said.
    pub fn curl(&self, arguments: &[&str]) -> anyhow::Result<Answer> {
        let given = ["--include", "--silent", "--show-error", "--max-time", "60", "--noproxy", "*"];
        let output = self.run("curl", &[&given, arguments].concat())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("curl {} at {}: {} {said}", arguments.join(" "), self.name(), output.status);
        }
        Answer::last_of(&output.stdout)
    }
}
