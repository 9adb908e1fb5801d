//! The profile `openstack`: what it makes of requests that OpenStack's own clients and services send.

use super::*;

fn openstack() -> Profile {
    Profiles::built_in().expect("valid").get("openstack").expect("built in").as_ref().clone()
}

/// Service, method, path → kind, id, op; `-` for none.
const REQUESTS: &str = "
identity GET  /                                        -  -  describe
identity GET  /v3                                      -  -  describe
identity GET  /v3/                                     -  -  describe
identity POST /v3/auth/tokens                          token  -  once
identity GET  /v3/auth/tokens                          token  -  read
identity HEAD /v3/auth/tokens                          token  -  read
identity DELETE /v3/auth/tokens                        token  -  delete
identity GET  /v3/auth/catalog                         token  -  read
identity GET  /v3/auth/projects                        token  -  read
identity GET  /v3/projects                             project  -  list
identity POST /v3/projects                             project  -  create
identity PATCH /v3/projects/p1                         project  p1  merge
identity PUT  /v3/projects/p1/tags/blue                project  p1  merge
identity GET  /v3/users/u1                             user  u1  read
identity POST /v3/users/u1/password                    user  u1  merge
identity GET  /v3/users/u1/projects                    user  u1  read
identity POST /v3/users/u1/application_credentials     application-credential  -  create
identity GET  /v3/users/u1/application_credentials/a1  application-credential  a1  read
identity GET  /v3/users/u1/credentials/OS-EC2          ec2-credential  -  list
identity PUT  /v3/projects/p1/users/u1/roles/r1        grant  r1  merge
identity GET  /v3/projects/p1/users/u1/roles           grant  -  list
identity DELETE /v3/domains/d1/groups/g1/roles/r1      grant  r1  delete
identity PUT  /v3/groups/g1/users/u1                   group-member  u1  merge
identity GET  /v3/role_assignments                     role-assignment  -  list
identity GET  /v3/roles/r1                             role  r1  read
identity PUT  /v3/roles/r1/implies/r2                  role  r1  merge
identity GET  /v3/domains/default                      domain  default  read
identity PUT  /v3/domains/d1/config                    domain  d1  replace
identity GET  /v3/regions/RegionOne                    region  RegionOne  read
identity GET  /v3/services                             service  -  list
identity POST /v3/endpoints                            endpoint  -  create
identity DELETE /v3/endpoints/e1                       endpoint  e1  delete
identity GET  /v3/credentials/c1                       credential  c1  read
identity GET  /v3/OS-TRUST/trusts/t1                   trust  t1  read
identity GET  /v3/limits/model                         limit  -  read
image GET    /                                         -  -  describe
image GET    /versions                                 -  -  describe
image GET    /v2                                       -  -  describe
image GET    /v2/schemas/image                         -  -  describe
image GET    /v2/schemas/metadefs/namespaces           -  -  describe
image GET    /v2/info/import                           -  -  describe
image GET    /v2/images                                image  -  list
image POST   /v2/images                                image  -  create
image GET    /v2/images/7d1f                           image  7d1f  read
image HEAD   /v2/images/7d1f                           image  7d1f  read
image PATCH  /v2/images/7d1f                           image  7d1f  merge
image DELETE /v2/images/7d1f                           image  7d1f  delete
image GET    /v2/images/7d1f/file                      image-data  7d1f  read
image PUT    /v2/images/7d1f/file                      image-data  7d1f  replace
image PUT    /v2/images/7d1f/stage                     image-data  7d1f  replace
image POST   /v2/images/7d1f/import                    image  7d1f  once
image GET    /v2/images/7d1f/tasks                     image  7d1f  read
image PUT    /v2/images/7d1f/tags/blue                 image  7d1f  merge
image DELETE /v2/images/7d1f/tags/blue                 image  7d1f  merge
image POST   /v2/images/7d1f/actions/deactivate        image  7d1f  merge
image POST   /v2/images/7d1f/members                   image-member  -  create
image GET    /v2/images/7d1f/members                   image-member  -  list
image PUT    /v2/images/7d1f/members/p1                image-member  p1  merge
image DELETE /v2/stores/fast/7d1f                      image  7d1f  merge
image POST   /v2/tasks                                 image-task  -  create
image GET    /v2/tasks/t1                              image-task  t1  read
image GET    /v2/metadefs/namespaces                   metadef-namespace  -  list
image PUT    /v2/metadefs/namespaces/OS::X             metadef-namespace  OS::X  replace
image GET    /v2/metadefs/namespaces/OS::X/properties/p metadef  p  read
image GET    /v1/images                                -  -  unknown
compute GET  /                                         -  -  describe
compute GET  /v2.1                                     -  -  describe
compute GET  /v2.1/                                    -  -  describe
compute GET  /v2.1/extensions                          -  -  describe
compute GET  /v2.1/p1/extensions/os-consoles           -  -  describe
compute GET  /v2.1/servers                             server  -  list
compute GET  /v2.1/servers/detail                      server  -  list
compute GET  /v2.1/p1/servers                          server  -  list
compute GET  /v2.1/p1/servers/detail                   server  -  list
compute POST /v2.1/servers                             server  -  create
compute POST /v2.1/p1/servers                          server  -  create
compute POST /v2.1/os-volumes_boot                     server  -  create
compute GET  /v2.1/servers/s1                          server  s1  read
compute GET  /v2.1/p1/servers/s1                       server  s1  read
compute PUT  /v2.1/servers/s1                          server  s1  merge
compute DELETE /v2.1/p1/servers/s1                     server  s1  delete
compute POST /v2.1/servers/s1/action                   server  s1  once
compute POST /v2.1/p1/servers/s1/action                server  s1  once
compute POST /v2.1/servers/s1/remote-consoles          server  s1  once
compute GET  /v2.1/servers/s1/diagnostics              server  s1  read
compute GET  /v2.1/servers/s1/topology                 server  s1  read
compute GET  /v2.1/servers/s1/ips/private              server  s1  read
compute GET  /v2.1/servers/s1/os-security-groups       server  s1  read
compute GET  /v2.1/servers/s1/metadata                 server  s1  read
compute POST /v2.1/servers/s1/metadata                 server  s1  merge
compute PUT  /v2.1/servers/s1/metadata/k               server  s1  merge
compute GET  /v2.1/servers/s1/metadata/k               server  s1  read
compute PUT  /v2.1/servers/s1/tags                     server  s1  merge
compute DELETE /v2.1/p1/servers/s1/tags/blue           server  s1  merge
compute GET  /v2.1/servers/s1/os-server-password       server  s1  read
compute GET  /v2.1/servers/s1/os-interface             server-interface  -  list
compute POST /v2.1/p1/servers/s1/os-interface          server-interface  -  create
compute DELETE /v2.1/servers/s1/os-interface/i1        server-interface  i1  delete
compute POST /v2.1/servers/s1/os-volume_attachments    volume-attachment  -  create
compute PUT  /v2.1/servers/s1/os-volume_attachments/v1 volume-attachment  v1  merge
compute GET  /v2.1/servers/s1/os-instance-actions      instance-action  -  list
compute GET  /v2.1/servers/s1/os-instance-actions/r1   instance-action  r1  read
compute POST /v2.1/servers/s1/migrations/m1/action     server-migration  m1  once
compute GET  /v2.1/servers/servers                     server  servers  read
compute GET  /v2.1/flavors                             flavor  -  list
compute GET  /v2.1/p1/flavors/detail                   flavor  -  list
compute GET  /v2.1/flavors/tiny                        flavor  tiny  read
compute GET  /v2.1/flavors/f1/os-extra_specs           flavor-extra-spec  -  read
compute POST /v2.1/flavors/f1/os-extra_specs           flavor-extra-spec  -  merge
compute DELETE /v2.1/p1/flavors/f1/os-extra_specs/k    flavor-extra-spec  k  delete
compute POST /v2.1/flavors/f1/action                   flavor  f1  merge
compute GET  /v2.1/os-keypairs                         keypair  -  list
compute POST /v2.1/os-keypairs                         keypair  -  create
compute DELETE /v2.1/os-keypairs/mine                  keypair  mine  delete
compute GET  /v2.1/os-keypairs/servers                 keypair  servers  read
compute POST /v2.1/os-server-groups                    server-group  -  create
compute GET  /v2.1/p1/os-server-groups/g1              server-group  g1  read
compute GET  /v2.1/os-quota-sets/p1                    compute-quota  p1  read
compute PUT  /v2.1/os-quota-sets/p1                    compute-quota  p1  merge
compute GET  /v2.1/p2/os-quota-sets/p1/detail          compute-quota  p1  read
compute GET  /v2.1/limits                              compute-limits  -  read
compute GET  /v2.1/os-hypervisors/detail               hypervisor  -  list
compute GET  /v2.1/os-hypervisors/statistics           hypervisor  -  read
compute GET  /v2.1/os-hypervisors/h1                   hypervisor  h1  read
compute GET  /v2.1/os-hypervisors/h1/uptime            hypervisor  h1  read
compute POST /v2.1/os-aggregates/1/action              aggregate  1  once
compute GET  /v2.1/os-services                         compute-service  -  list
compute GET  /v2.1/os-availability-zone                compute-availability-zone  -  list
compute GET  /v2.1/os-simple-tenant-usage/p1           server-usage  p1  read
compute POST /v2.1/os-server-external-events           server-external-event  -  once
compute GET  /v2.1/servers/s1/a/b/c                    -  -  unknown
compute GET  /v2                                       -  -  describe
compute GET  /v2/                                      -  -  describe
compute GET  /v2/p1/extensions                         -  -  describe
compute GET  /v2/servers                               server  -  list
compute GET  /v2/p1/servers/detail                     server  -  list
compute POST /v2/p1/servers                            server  -  create
compute DELETE /v2/servers/s1                          server  s1  delete
compute POST /v2/p1/servers/s1/action                  server  s1  once
compute GET  /v2/p1/servers/s1/os-interface/i1         server-interface  i1  read
compute GET  /v2/flavors/tiny                          flavor  tiny  read
compute GET  /v2/p1/os-quota-sets/p2                   compute-quota  p2  read
compute GET  /v2/images                                -  -  unknown
compute GET  /v2.10/servers                            -  -  unknown
compute GET  /v20/servers                              -  -  unknown
placement GET /                                        -  -  describe
placement GET /resource_providers                      resource-provider  -  list
placement POST /resource_providers                     resource-provider  -  create
placement GET /resource_providers/r1                   resource-provider  r1  read
placement PUT /resource_providers/r1                   resource-provider  r1  replace
placement PUT /resource_providers/r1/traits            resource-provider  r1  replace
placement GET /resource_providers/r1/inventories       inventory  -  read
placement PUT /resource_providers/r1/inventories       inventory  -  replace
placement PUT /resource_providers/r1/inventories/VCPU  inventory  VCPU  replace
placement GET /allocation_candidates                   allocation-candidate  -  read
placement GET /allocations/s1                          allocation  s1  read
placement PUT /allocations/s1                          allocation  s1  replace
placement DELETE /allocations/s1                       allocation  s1  delete
placement POST /allocations                            allocation  -  once
placement PUT /traits/CUSTOM_X                         trait  CUSTOM_X  replace
placement GET /usages                                  usage  -  read
network GET  /                                         -  -  describe
network GET  /v2.0                                     -  -  describe
network GET  /v2.0/extensions                          -  -  describe
network GET  /v2.0/networks                            network  -  list
network POST /v2.0/networks                            network  -  create
network PUT  /v2.0/networks/n1                         network  n1  merge
network GET  /v2.0/subnets/s1                          subnet  s1  read
network POST /v2.0/ports                               port  -  create
network GET  /v2.0/ports                               port  -  list
network DELETE /v2.0/ports/p1                          port  p1  delete
network PUT  /v2.0/routers/r1/add_router_interface     router  r1  once
network POST /v2.0/security-groups                     security-group  -  create
network POST /v2.0/security-group-rules                security-group-rule  -  create
network GET  /v2.0/floatingips/f1                      floating-ip  f1  read
network GET  /v2.0/quotas/p1                           network-quota  p1  read
network GET  /v2.0/agents                              network-agent  -  list
volumev3 GET /                                         -  -  describe
volumev3 GET /v3                                       -  -  describe
volumev3 GET /v3/p1/volumes                            volume  -  list
volumev3 GET /v3/p1/volumes/detail                     volume  -  list
volumev3 POST /v3/p1/volumes                           volume  -  create
volumev3 POST /v3/volumes                              volume  -  create
volumev3 GET /v3/volumes/v1                            volume  v1  read
volumev3 POST /v3/p1/volumes/v1/action                 volume  v1  once
volumev3 PUT /v3/p1/volumes/v1/metadata/k              volume  v1  merge
block-storage GET /v3/p1/snapshots/detail              volume-snapshot  -  list
block-storage POST /v3/p1/backups/b1/restore           volume-backup  b1  once
block-storage GET /v3/p1/types/t1/extra_specs          volume-type  t1  read
block-storage GET /v3/p1/types                         volume-type  -  list
block-storage PUT /v3/p1/os-quota-sets/p2              block-quota  p2  merge
block-storage GET /v3/p1/limits                        block-limits  -  read
block-storage POST /v3/p1/os-volume-transfer/t1/accept volume-transfer  t1  once
block-storage GET /v3/p1/attachments/a1                block-attachment  a1  read
volumev3 GET /v2/p1/volumes                            -  -  unknown
";

#[test]
fn real_requests_are_what_they_are() {
    let openstack = openstack();
    let mut count = 0;
    for line in REQUESTS.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [service, method, path, kind, id, op] = words[..] else { panic!("{line}") };
        let matched = openstack.matching(Some(service), method, path);
        let found = serde_json::to_value(matched.op).expect("a word");
        let found = (matched.kind.unwrap_or("-"), matched.id.unwrap_or("-"), found.as_str().unwrap_or_default());
        assert_eq!(found, (kind, id, op), "{line}");
        count += 1;
    }
    assert!(count > 150, "{count}");
}

#[test]
fn parts_of_a_resource_are_where_it_is() {
    let openstack = openstack();
    for (service, path, nested) in [
        ("compute", "/v2.1/servers/s1/os-interface", true),
        ("compute", "/v2.1/p1/servers/s1/os-interface/i1", true),
        ("compute", "/v2.1/p1/servers", false),
        ("compute", "/v2.1/servers/s1", false),
        ("image", "/v2/images/i1/members", true),
        ("identity", "/v3/projects/p1/users/u1/roles/r1", true),
        ("image", "/v2/schemas/image", false),
        ("volumev3", "/v3/p1/volumes/detail", false),
    ] {
        assert_eq!(openstack.matching(Some(service), "GET", path).nested, nested, "{path}");
    }
}

#[test]
fn only_what_is_created_has_room_elsewhere() {
    let openstack = openstack();
    let told = |kind, op| {
        let errors = openstack.capacity(Some(kind), op);
        errors.into_iter().map(|error| (error.status, error.body.unwrap_or_default())).collect::<Vec<_>>()
    };
    let created = told("server", OpKind::Create);
    assert!(created.contains(&(403, "Quota exceeded".to_owned())), "{created:?}");
    assert!(created.iter().all(|(status, text)| *status == 403 && !text.is_empty()), "{created:?}");
    assert_eq!(told("server", OpKind::Once), [], "a server that can't grow is at no other site");
    assert_eq!(told("image", OpKind::Create), [(413, "is over a limit for".to_owned())]);
    assert_eq!(told("image-data", OpKind::Replace), []);
    assert_eq!(told("network", OpKind::Create), [(409, "OverQuota".to_owned())]);
    assert_eq!(told("volume", OpKind::Create), [(413, "overLimit".to_owned())]);
    // a gateway says these, too, after the service has done it
    let kinds = openstack.file.kinds.iter().flat_map(|kind| &kind.capacity).chain(&openstack.file.capacity);
    assert!(kinds.into_iter().all(|error| error.status < 500));
}

#[test]
fn the_platform_is_described() {
    let openstack = openstack();
    let class = |service| openstack.class(Some(service));
    assert_eq!((class("identity"), class("placement"), class("compute")), (Some("identity"), Some("internal"), None));
    let [id] = openstack.correlation() else { panic!("one id") };
    let id = (id.header.as_str(), id.set.as_deref(), id.restore);
    assert_eq!(id, ("X-Openstack-Request-Id", Some("req-{uuid}"), true));
    let credentials = openstack.file.platform.credentials.as_ref().expect("told");
    assert!(!credentials.links && credentials.header == "X-Auth-Token");
    let form = openstack.form();
    assert_eq!((form.content_type, form.within, form.message), ("application/json", Some("error"), Some("message")));
    assert_eq!(rest().form(), cheops_agent::http::Form::STANDARD);
    // whatever is secret in a body is named
    let secret = openstack.file.kinds.iter().flat_map(|kind| &kind.secret).map(|field| field.get_ref().as_str());
    let secret: Vec<&str> = secret.collect();
    for field in [
        "/server/adminPass",
        "/server/user_data",
        "/user/password",
        "/auth/identity/password/user/password",
        "/auth/identity/token/id",
        "/application_credential/secret",
        "/credential/blob",
        "/keypair/private_key",
    ] {
        assert!(secret.contains(&field), "{field}");
    }
}
