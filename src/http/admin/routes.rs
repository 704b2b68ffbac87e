//! Which operation of administration goes where: written once, for both doors.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::admin::{
    accounts, audit, credentials, data_keys, deleted, grants, groups, hosts, links, own_tenant,
    sessions, ssh_authorities, tenants, tokens, x509_authorities,
};
use crate::http::web::Web;

/// What is done to one tenant, by operators and by its own administrators.
pub fn of_tenant() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(accounts::list, accounts::add))
        .routes(routes!(accounts::show, accounts::alter, accounts::remove))
        .routes(routes!(accounts::unlock))
        .routes(routes!(
            credentials::set_password,
            credentials::take_password
        ))
        .routes(routes!(credentials::add_factor, credentials::remove_factor))
        .routes(routes!(credentials::keys, credentials::add_key))
        .routes(routes!(credentials::remove_key))
        .routes(routes!(x509_authorities::rules, x509_authorities::add_rule))
        .routes(routes!(x509_authorities::remove_rule))
        .routes(routes!(x509_authorities::list, x509_authorities::add))
        .routes(routes!(x509_authorities::remove))
        .routes(routes!(x509_authorities::lists, x509_authorities::set_list))
        .routes(routes!(ssh_authorities::list, ssh_authorities::add))
        .routes(routes!(ssh_authorities::remove))
        .routes(routes!(
            ssh_authorities::revocations,
            ssh_authorities::revoke
        ))
        .routes(routes!(groups::list, groups::add))
        .routes(routes!(groups::show, groups::remove))
        .routes(routes!(groups::join, groups::leave))
        .routes(routes!(grants::list, grants::give))
        .routes(routes!(grants::take))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(tokens::list))
        .routes(routes!(tokens::revoke))
        .routes(routes!(links::list))
        .routes(routes!(links::revoke))
        .routes(routes!(deleted::list))
        .routes(routes!(deleted::restore))
        .routes(routes!(audit::search))
        .routes(routes!(audit::export))
        .routes(routes!(audit::verify))
}

/// What administrators of a tenant do to it.
pub fn of_administrators() -> OpenApiRouter<Web> {
    of_tenant().routes(routes!(own_tenant::show))
}

/// What operators do.
pub fn of_operators() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(tenants::me))
        .routes(routes!(tenants::list, tenants::add))
        .routes(routes!(tenants::show, tenants::alter))
        .nest(
            "/tenants/{tenant}",
            of_tenant().merge(of_tenant_to_operators()),
        )
}

fn of_tenant_to_operators() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(hosts::list))
        .routes(routes!(hosts::add, hosts::remove))
        .routes(routes!(data_keys::list, data_keys::rotate))
        .routes(routes!(data_keys::rewrap))
        .routes(routes!(data_keys::destroy))
}
