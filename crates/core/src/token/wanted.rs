//! What a caller who asks for a token may have.

use coffer_api::{
    Code,
    token::{TokenCreate, TokenKind},
};
use uuid::Uuid;

use super::{
    create::{CreatePath, DEFAULT, MAX_NAME, RootPolicy, Wanted},
    role::RoleRow,
};
use crate::{
    Caller, Error,
    identity::{self, AliasKey},
    initial::INITIAL,
    mount::signed,
    policies,
    policy::Grant,
};

/// What a request for a token may say beside [`TokenCreate`].
#[derive(Clone, Debug, Default)]
pub struct CreateMore {
    /// The kind asked for, where one was: a role may have another default than `TokenCreate::kind`.
    pub kind: Option<TokenKind>,
    /// Whose token it is to be, by an alias on the mount of tokens that the role allows.
    pub entity_alias: Option<String>,
}

impl Caller {
    /// What a request comes to, once it is clear that the caller may ask for it.
    pub(super) async fn wanted(
        &self,
        how: CreatePath<'_>,
        path: &str,
        grant: Grant,
        request: TokenCreate,
        more: CreateMore,
    ) -> Result<Wanted, Error> {
        let entry = &self.token.entry;
        if self.token.kind == TokenKind::Batch {
            return Err(Error::invalid("batch tokens cannot create more tokens"));
        }
        if entry.num_uses > 0 {
            return Err(Error::invalid("restricted use token cannot generate child tokens"));
        }
        // Nobody who names nothing by mistake gets everything that the caller has.
        if request.policies.iter().any(|name| name.trim().is_empty()) {
            return Err(Error::invalid("a policy's name is empty"));
        }
        let privileged = grant.root || grant.sudo;
        let role = match (how, &request.role) {
            (CreatePath::Role(name), _) => Some(self.active.token_role(name).await?),
            (CreatePath::Child | CreatePath::Orphan, Some(name)) => Some(self.active.token_role(name).await?),
            (CreatePath::Child | CreatePath::Orphan, None) => None,
        };
        let role = match role {
            Some(None) => {
                let name = match how {
                    CreatePath::Role(name) => name.to_owned(),
                    CreatePath::Child | CreatePath::Orphan => request.role.unwrap_or_default(),
                };
                return Err(Error::invalid(format!("unknown role {name}")));
            }
            Some(role) => role,
            None => None,
        };
        let needs = |what: &str| Error::invalid(format!("root or sudo privileges required to {what}"));
        if !privileged {
            if request.id.is_some() {
                return Err(needs("specify token id"));
            }
            if request.period.is_some_and(|period| period > 0) && role.is_none() {
                return Err(needs("create periodic token"));
            }
            if request.orphan && how == CreatePath::Child && role.is_none() {
                return Err(needs("create orphan token"));
            }
        }
        let mut warnings = Vec::new();
        let own = &entry.policies;
        let policies = self.policies_for(privileged, &request, role.as_ref(), &mut warnings)?;
        let entity = self.entity_by_alias(role.as_ref(), more.entity_alias.as_deref()).await?;
        let (orphan, kind) = match &role {
            Some(role) => (role.orphan, role.kind(more.kind)),
            None => (request.orphan || how == CreatePath::Orphan, more.kind.unwrap_or_default()),
        };
        let role_max = role.as_ref().map_or(0, |role| role.explicit_max_ttl);
        if let Some(asked) = request.explicit_max_ttl.filter(|asked| *asked > 0 && role_max > 0 && *asked != role_max) {
            warnings.push(format!(
                "Explicit max TTL specified both during creation call and in role; using the lesser value of {} seconds",
                asked.min(role_max)
            ));
        }
        let display_name = match &request.display_name {
            Some(name) if !name.is_empty() => format!("token-{}", clean(name)),
            Some(_) | None => "token".to_owned(),
        };
        let from_role = |of_role: u64, asked: Option<u64>| match (of_role, asked.unwrap_or(0)) {
            (0, asked) => asked,
            (of_role, 0) => of_role,
            (of_role, asked) => of_role.min(asked),
        };
        let role_name = role.as_ref().map(|role| role.name.clone());
        let path = match role.as_ref().map(|role| role.path_suffix.as_str()) {
            Some(suffix) if !suffix.is_empty() => format!("{path}/{suffix}"),
            Some(_) | None => path.to_owned(),
        };
        let no_entity = orphan && role.is_none() && how == CreatePath::Orphan;
        Ok(Wanted {
            kind,
            root: if policies::has_root(own) { RootPolicy::Allowed } else { RootPolicy::Refused },
            policies,
            // Whether it is among them is settled above.
            no_default_policy: true,
            entity: entity.as_ref().map(|(id, _)| *id).or(entry.entity.filter(|_| !no_entity)),
            identity_policies: entity
                .map_or_else(|| self.authority.identity_policies.clone(), |(_, policies)| policies),
            display_name,
            path,
            metadata: request.metadata,
            ttl: request.ttl.filter(|ttl| *ttl > 0),
            max_ttl: None,
            explicit_max_ttl: from_role(
                role.as_ref().map_or(0, |role| role.explicit_max_ttl),
                request.explicit_max_ttl,
            ),
            period: role.as_ref().map_or(0, |role| role.period).max(request.period.filter(|_| privileged).unwrap_or(0)),
            renewable: request.renewable.unwrap_or(true) && role.as_ref().is_none_or(|role| role.renewable),
            num_uses: signed(from_role(role.as_ref().map_or(0, |role| role.num_uses), Some(request.num_uses))),
            parent: (!orphan).then(|| self.token.accessor.clone()),
            role: role_name,
            bound_cidrs: role.map(|role| role.bound_cidrs).unwrap_or_default(),
            initial: false,
            wrapping: false,
            tenure: None,
            login: None,
            warnings,
        })
    }

    fn policies_for(
        &self,
        privileged: bool,
        request: &TokenCreate,
        role: Option<&RoleRow>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<String>, Error> {
        let own = &self.token.entry.policies;
        let asked = policies::normalised(&request.policies);
        let has_default = |names: &[String]| names.iter().any(|name| name == DEFAULT);
        let mut policies = match role.filter(|role| role.limits_policies()) {
            Some(role) => role.policies(asked, own, request.no_default_policy)?,
            None if asked.is_empty() => own.clone(),
            None if privileged => with_default(asked),
            None if !asked.iter().all(|name| own.contains(name)) => {
                return Err(Error::invalid("child policies must be subset of parent"));
            }
            None if has_default(own) => with_default(asked),
            None => asked,
        };
        if policies::has_root(&policies) {
            policies = vec![policies::ROOT.to_owned()];
        }
        if request.no_default_policy {
            policies.retain(|name| name != DEFAULT);
        }
        policies.sort_unstable();
        if policies::has_root(&policies) && !policies::has_root(own) {
            return Err(Error::invalid("root tokens may not be created without parent token being root"));
        }
        let is_known = |name: &String| {
            [policies::ROOT, policies::RESPONSE_WRAPPING].contains(&name.as_str())
                || self.active.policies.has(name, self.active.clock.now())
        };
        for name in policies.iter().filter(|name| !is_known(name)) {
            warnings.push(format!("Policy {name:?} does not exist"));
        }
        Ok(policies)
    }

    /// The entity that a role lets the request name by an alias, and its policies.
    async fn entity_by_alias(
        &self,
        role: Option<&RoleRow>,
        alias: Option<&str>,
    ) -> Result<Option<(Uuid, Vec<String>)>, Error> {
        let Some(alias) = alias else { return Ok(None) };
        let Some(role) = role else {
            return Err(Error::invalid("'entity_alias' is only allowed in combination with token role"));
        };
        // Whom the initial token stands for, nobody else does.
        let usable = alias.len() <= MAX_NAME && !alias.chars().any(char::is_control) && alias != INITIAL;
        if !usable || !role.allows_alias(alias) {
            return Err(Error::invalid("invalid 'entity_alias' value"));
        }
        let mount = self.active.token_mount()?;
        let key = AliasKey {
            mount_accessor: &mount.accessor,
            mount_type: mount.kind.name(),
            mount_path: &mount.path,
            name: alias,
            metadata: None,
            entity_name: None,
        };
        let entity = self.active.entity_of_login(&key).await?;
        if entity.disabled {
            return Err(Error::new(Code::Denied, "the entity of this alias is disabled"));
        }
        let (direct, inherited) = self.active.identity.groups_of(entity.id);
        let policies = identity::policies_of(Some(&entity), &[direct, inherited].concat());
        Ok(Some((entity.id, policies)))
    }
}

fn with_default(mut policies: Vec<String>) -> Vec<String> {
    if !policies.iter().any(|name| name == DEFAULT || name == policies::ROOT) {
        policies.push(DEFAULT.to_owned());
    }
    policies
}

fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}
