//! What a site's services are told: configuration, and nothing that changes their programs.

use std::path::Path;

use anyhow::Context;

use super::ask::Api;
use super::plan::{Bus, SitePlan};
use super::program::Passwords;
use crate::lab::Host;

/// Where the Python files of this lab are.
pub(super) fn scripts() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("openstack")
}

/// What the files are made from.
pub(super) struct Values<'a> {
    pub host: &'a Host,
    pub directory: &'a Path,
    pub passwords: &'a Passwords,
    pub plan: &'a SitePlan,
}

impl Values<'_> {
    /// Writes `etc/*.conf` below the site's directory.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let nova = |host: &Host| self.nova(host);
        let files = [
            ("keystone.conf", keystone(self.directory, self.plan.token_life)),
            ("glance-api.conf", self.glance()),
            ("placement.conf", self.placement()),
            ("nova.conf", nova(self.host)),
        ];
        for (name, text) in files {
            self.file(name, &text)?;
        }
        Ok(())
    }

    /// The configuration of Nova's compute service at a further host.
    pub(super) fn write_compute(&self, host: &Host) -> anyhow::Result<()> {
        self.file(&format!("nova-{}.conf", host.name()), &self.nova(host))
    }

    fn file(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.directory.join("etc").join(name);
        std::fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
    }

    fn glance(&self) -> String {
        let directory = self.directory.display();
        format!(
            "[DEFAULT]\nbind_host = {address}\nbind_port = {port}\nworkers = 0\nlog_file = {directory}/log/glance.log\n\
            node_staging_uri = file://{directory}/staging\nimage_cache_dir = {directory}/cache\n\
            [database]\n{database}\
            [glance_store]\nstores = file\ndefault_store = file\nfilesystem_store_datadir = {directory}/images\n\
            [paste_deploy]\nflavor = keystone\nconfig_file = /etc/glance/glance-api-paste.ini\n\
            [oslo_concurrency]\nlock_path = {directory}/lock\n{token}",
            address = self.host.ipv4(),
            port = Api::Glance.port(),
            database = database(self.directory, "glance"),
            token = self.authtoken("glance"),
        )
    }

    fn placement(&self) -> String {
        let directory = self.directory.display();
        format!(
            "[DEFAULT]\nlog_file = {directory}/log/placement.log\n[api]\nauth_strategy = keystone\n\
            [placement_database]\n{}{}",
            database(self.directory, "placement"),
            self.authtoken("placement"),
        )
    }

    /// For the host that Nova, or only its compute service, runs at.
    fn nova(&self, host: &Host) -> String {
        let (directory, name) = (self.directory.display(), host.name());
        let credentials = self.credentials("nova");
        let quota = self.plan.instances;
        format!(
            "[DEFAULT]\nhost = {name}\nmy_ip = {own}\ntransport_url = {bus}\nstate_path = {directory}/nova\n\
            instances_path = {directory}/nova/instances-{name}\ncompute_driver = kept_disk.KeptDiskDriver\n\
            enabled_apis = osapi_compute\nosapi_compute_listen = {address}\nosapi_compute_listen_port = {port}\n\
            osapi_compute_workers = 1\nlog_options = false\n\
            [api]\nauth_strategy = keystone\n[wsgi]\napi_paste_config = /etc/nova/api-paste.ini\n\
            [api_database]\n{api}[database]\n{cell}\
            [conductor]\nworkers = 1\n[scheduler]\nworkers = 1\n\
            [filter_scheduler]\nhost_subset_size = 2\n\
            [quota]\ninstances = {quota}\ncores = {quota}\nram = -1\n\
            [vnc]\nenabled = false\n[oslo_concurrency]\nlock_path = {directory}/lock\n\
            [placement]\nregion_name = RegionOne\n{credentials}[neutron]\nregion_name = RegionOne\n{credentials}\
            [service_user]\nsend_service_user_token = {along}\n{credentials}{token}",
            along = self.plan.service_tokens,
            own = host.ipv4(),
            address = self.host.ipv4(),
            port = Api::Nova.port(),
            bus = self.bus(),
            api = self.nova_tables("nova_api"),
            cell = self.nova_tables("nova"),
            token = self.authtoken("nova"),
        )
    }

    /// Where messages between Nova's services go.
    pub(super) fn bus(&self) -> String {
        match self.plan.bus {
            Bus::Fake => "fake://".to_owned(),
            Bus::Rabbit => format!("rabbit://nova:{}@{}:5672/", self.passwords.of("rabbit"), self.host.ipv4()),
        }
    }

    /// Nova's database in a file. Several processes write to it where there is a broker.
    pub(super) fn nova_database(&self, file: &str) -> String {
        match self.plan.bus {
            Bus::Fake => connection("sqlite", file),
            Bus::Rabbit => connection("sqlite+immediate", file),
        }
    }

    fn nova_tables(&self, name: &str) -> String {
        let file = format!("{}/db/{name}.db", self.directory.display());
        section(&self.nova_database(&file))
    }

    fn authtoken(&self, user: &str) -> String {
        format!(
            "[keystone_authtoken]\nwww_authenticate_uri = {}\ntoken_cache_time = {}\nservice_token_roles = service\n{}",
            self.keystone(),
            self.plan.token_cache,
            self.credentials(user)
        )
    }

    fn credentials(&self, user: &str) -> String {
        format!(
            "auth_type = password\nauth_url = {}\nusername = {user}\npassword = {}\nproject_name = service\n\
            user_domain_id = default\nproject_domain_id = default\n",
            self.keystone(),
            self.passwords.of(user)
        )
    }

    fn keystone(&self) -> String {
        format!("http://{}", self.host.at(Api::Keystone.port()))
    }
}

/// Keystone's configuration; also the template's.
pub(super) fn keystone(directory: &Path, token_life: u32) -> String {
    let files = directory.display();
    format!(
        "[DEFAULT]\nlog_file = {files}/log/keystone.log\n[database]\n{}\
        [token]\nprovider = fernet\nexpiration = {token_life}\n\
        [fernet_tokens]\nkey_repository = {files}/keys/fernet\n[fernet_receipts]\nkey_repository = {files}/keys/fernet\n\
        [credential]\nkey_repository = {files}/keys/credential\n[identity]\npassword_hash_rounds = 4\n",
        database(directory, "keystone")
    )
}

/// A database of `db/` below the directory. It has to survive its programs, not the machine.
pub(super) fn database(directory: &Path, name: &str) -> String {
    section(&connection("sqlite", &format!("{}/db/{name}.db", directory.display())))
}

fn section(connection: &str) -> String {
    format!("connection = {connection}\nsqlite_synchronous = false\n")
}

fn connection(dialect: &str, file: &str) -> String {
    format!("{dialect}:///{file}?timeout=60&check_same_thread=false")
}
