// Tokens, AppRole, and users with passwords.
'use strict';

const { check, empty, holds, table, text } = require('./table');

const { rows, row } = table();

const AUTH = { client_token: text, accessor: text, renewable: true, lease_duration: Number, token_type: 'service' };
const own = (t) => t.world.as('root');

row('tokenCreate', async (t) => {
    const auth = { ...AUTH, policies: ['default', 'p'], lease_duration: 3600, metadata: { k: 'v' }, orphan: false };
    await t.succeeds({ policies: ['p'], ttl: '1h', meta: { k: 'v' } }, { auth, data: null }, own(t));
    await t.refused(400, { ttl: 'soon' }, { by: own(t) });
    await t.forbidden({ policies: ['p'] });
});

row('tokenCreateOrphan', async (t) => {
    await t.succeeds({ policies: ['p'], ttl: '1h' }, { auth: { ...AUTH, orphan: true } }, own(t));
    await t.forbidden({ policies: ['p'] });
});

row('addTokenRole', async (t) => {
    const name = t.world.name('role');
    await t.succeeds({ role_name: name, allowed_policies: 'p', period: 3600 }, empty);
    await t.refused(400, { role_name: name, path_suffix: '/' });
    await t.forbidden({ role_name: name, allowed_policies: 'p' });
});

row('tokenCreateRole', async (t) => {
    const name = await withRole(t);
    await t.succeeds({ role_name: name }, { auth: { ...AUTH, policies: ['default', 'p'] } }, own(t));
    await t.refused(400, { role_name: name, policies: ['other'] }, { by: own(t) });
    await t.refused(400, { role_name: 'none' }, { by: own(t), says: 'unknown role none' });
    await t.forbidden({ role_name: name });
});

row('getTokenRole', async (t) => {
    const name = await withRole(t);
    await t.succeeds({ role_name: name }, { data: { name, allowed_policies: ['p'], token_type: 'default-service' } });
    await t.refused(404, { role_name: 'none' });
    await t.forbidden({ role_name: name });
});

row('tokenRoles', async (t) => {
    const name = await withRole(t);
    await t.succeeds({}, { data: { keys: holds(name) } });
    await t.forbidden({});
});

row('removeTokenRole', async (t) => {
    const name = await withRole(t);
    await t.succeeds({ role_name: name }, empty);
    await t.forbidden({ role_name: name });
});

row('tokenAccessors', async (t) => {
    const { accessor } = await t.world.token({ policies: ['p'] });
    await t.succeeds({}, { data: { keys: holds(accessor) } });
    await t.forbidden({});
});

row('tokenLookup', async (t) => {
    const made = await t.world.token({ policies: ['p'], ttl: '1h' });
    const gives = { id: made.client_token, policies: ['default', 'p'], path: 'auth/token/create', meta: null, ttl: Number };
    await t.succeeds({ token: made.client_token }, { data: gives });
    await t.refused(403, { token: 'unknown' }, { says: 'bad token' });
    await t.forbidden({ token: made.client_token });
});

row('tokenLookupAccessor', async (t) => {
    const { accessor } = await t.world.token({ policies: ['p'] });
    await t.succeeds({ accessor }, { data: { accessor, id: '' } });
    await t.refused(400, { accessor: 'unknown' });
    await t.forbidden({ accessor });
});

row('tokenLookupSelf', async (t) => {
    await t.succeeds({}, { data: { id: 'root', policies: ['root'], ttl: 0, expire_time: null } });
    await t.refused(403, {}, { by: t.world.as('unknown'), says: 'permission denied' });
    await t.forbidden({});
});

row('tokenRenew', async (t) => {
    const { client_token: token } = await t.world.token({ policies: ['p'], ttl: '1h' });
    await t.succeeds({ token, increment: '2h' }, { auth: { client_token: token, lease_duration: 7200 } }, own(t));
    await t.refused(400, { token: 'unknown' }, { says: 'token not found' });
    await t.forbidden({ token });
});

row('tokenRenewSelf', async (t) => {
    const { client_token: token } = await t.world.token({ policies: ['p'], ttl: '1h' });
    await t.succeeds({ increment: '30m' }, { auth: { client_token: token, lease_duration: 1800 } }, t.world.as(token));
    await t.refused(400, {}, { says: 'lease is not renewable' });
    await t.forbidden({});
});

row('tokenRevoke', async (t) => {
    const { client_token: token } = await t.world.token({ policies: ['p'] });
    await t.succeeds({ token }, empty);
    await t.refused(400, { token: '' });
    await t.forbidden({ token: 'unknown' });
});

row('tokenRevokeAccessor', async (t) => {
    const { accessor } = await t.world.token({ policies: ['p'] });
    await t.succeeds({ accessor }, empty);
    await t.forbidden({ accessor });
});

row('tokenRevokeOrphan', async (t) => {
    const { client_token: token } = await t.world.token({ policies: ['p'] });
    await t.succeeds({ token }, empty);
    await t.refused(400, { token: 'unknown' });
    await t.forbidden({ token: 'unknown' });
});

row('tokenRevokeSelf', async (t) => {
    const { client_token: token } = await t.world.token({ policies: ['default'] });
    await t.succeeds({}, empty, t.world.as(token));
    await t.refused(403, {}, { by: t.world.as(token) });
});

row('startTokenRenewal', async (t) => {
    const { client_token: token } = await t.world.token({ policies: ['default'], ttl: '1h' });
    const mine = t.world.as(token);
    await t.succeeds({}, { data: { id: token, ttl: Number } }, mine);
    const renewed = new Promise((resolve) => { mine.on('token:renewed', resolve); });
    await t.succeeds({ ttl: 1 }, (value) => value === undefined, mine);
    check((await renewed).auth.client_token === token, 'another token was renewed');
    mine.stopAllRenewals();
    await t.refused(403, {}, { by: t.weak });
});

row('startLeaseRenewal', async (t) => {
    const refusal = new Promise((resolve) => { t.root.on('lease:error:renew', resolve); });
    await t.call(['unknown', 1], t.root);
    const { error } = await refusal;
    check(error.response.statusCode === 400, error.message);
    t.refusals += 1;
}, { success: 'no engine here gives out a lease that is not a token\'s' });

row('userpassLogin', async (t) => {
    const mount = await t.world.authMount('userpass');
    await t.root.write(`auth/${mount}/users/alice`, { password: 'pw', token_policies: 'p' });
    const user = { mount_point: mount, username: 'alice' };
    const auth = { ...AUTH, policies: ['default', 'p'], metadata: { username: 'alice' }, orphan: true, entity_id: text };
    await t.succeeds({ ...user, password: 'pw' }, { auth, data: null }, t.world.as(''));
    await t.refused(400, { ...user, password: 'wrong' }, { by: t.nobody, says: 'invalid username or password' });
});

row('approleRoles', async (t) => {
    const { mount } = await withApprole(t);
    await t.succeeds({ mount_point: mount }, { data: { keys: ['r'] } });
    await t.refused(404, { mount_point: await t.world.authMount('approle') });
    await t.forbidden({ mount_point: mount });
});

row('addApproleRole', async (t) => {
    const mount = await t.world.authMount('approle');
    const role = { mount_point: mount, role_name: 'r' };
    await t.succeeds({ ...role, policies: 'p', token_ttl: 600, period: 300, secret_id_ttl: 60 }, empty);
    const found = (await t.root.getApproleRole(role)).data;
    check(found.token_ttl === 600 && found.token_period === 300 && found.secret_id_ttl === 60, JSON.stringify(found));
    await t.refused(400, { ...role, token_ttl: 7200, token_max_ttl: 3600 });
    await t.forbidden(role);
});

row('getApproleRole', async (t) => {
    const { mount, role } = await withApprole(t);
    await t.succeeds(role, { data: { bind_secret_id: true, token_policies: ['p'], token_ttl: 0, token_type: 'default' } });
    await t.refused(404, { mount_point: mount, role_name: 'none' });
    await t.forbidden(role);
});

row('deleteApproleRole', async (t) => {
    const { role } = await withApprole(t);
    await t.succeeds(role, empty);
    await t.forbidden(role);
});

row('getApproleRoleId', async (t) => {
    const { mount, role } = await withApprole(t);
    await t.succeeds(role, { data: { role_id: text } });
    await t.refused(404, { mount_point: mount, role_name: 'none' });
    await t.forbidden(role);
});

row('updateApproleRoleId', async (t) => {
    const { mount, role } = await withApprole(t);
    await t.succeeds({ ...role, role_id: 'chosen' }, empty);
    check((await t.root.getApproleRoleId(role)).data.role_id === 'chosen', 'another role id');
    await t.refused(404, { mount_point: mount, role_name: 'none', role_id: 'chosen' });
    await t.forbidden({ ...role, role_id: 'chosen' });
});

row('getApproleRoleSecret', async (t) => {
    const { role } = await withApprole(t);
    const gives = { secret_id: text, secret_id_accessor: text, secret_id_ttl: 0, secret_id_num_uses: 0 };
    await t.succeeds({ ...role, metadata: '{"k":"v"}' }, { data: gives });
    await t.refused(400, { ...role, metadata: 'no json' });
    await t.forbidden(role);
});

row('approleSecretAccessors', async (t) => {
    const { mount, role, made } = await withApprole(t);
    await t.succeeds(role, { data: { keys: [made.secret_id_accessor] } });
    await t.refused(400, { mount_point: mount, role_name: 'none' }, { says: 'does not exist' });
    await t.forbidden(role);
});

row('approleSecretLookup', async (t) => {
    const { mount, role, made } = await withApprole(t);
    const gives = { secret_id_accessor: made.secret_id_accessor, metadata: { k: 'v' }, creation_time: text };
    await t.succeeds({ ...role, secret_id: made.secret_id }, { data: gives });
    await t.succeeds({ ...role, secret_id: 'unknown' }, empty);
    await t.refused(400, { mount_point: mount, role_name: 'none', secret_id: 'unknown' }, { oracle: 500 });
    await t.forbidden({ ...role, secret_id: made.secret_id });
});

row('approleSecretDestroy', async (t) => {
    const { mount, role, made } = await withApprole(t);
    await t.succeeds({ ...role, secret_id: made.secret_id }, empty);
    await t.refused(400, { mount_point: mount, role_name: 'none', secret_id: 'unknown' }, { oracle: 500 });
    await t.forbidden({ ...role, secret_id: made.secret_id });
});

row('approleSecretAccessorLookup', async (t) => {
    const { role, made } = await withApprole(t);
    const accessor = { secret_id_accessor: made.secret_id_accessor };
    await t.succeeds({ ...role, ...accessor }, { data: { ...accessor, metadata: { k: 'v' } } });
    await t.refused(404, { ...role, secret_id_accessor: 'unknown' });
    await t.forbidden({ ...role, ...accessor });
});

row('approleSecretAccessorDestroy', async (t) => {
    const { role, made } = await withApprole(t);
    const accessor = { secret_id_accessor: made.secret_id_accessor };
    await t.succeeds({ ...role, ...accessor }, empty);
    await t.refused(400, { ...role, ...accessor }, { oracle: 500 });
    await t.forbidden({ ...role, ...accessor });
});

row('approleLogin', async (t) => {
    const { mount, role, made } = await withApprole(t);
    const { role_id: roleId } = (await t.root.getApproleRoleId(role)).data;
    const login = { mount_point: mount, role_id: roleId };
    const auth = { ...AUTH, policies: ['default', 'p'], metadata: { role_name: 'r', k: 'v' }, orphan: true };
    await t.succeeds({ ...login, secret_id: made.secret_id }, { auth, data: null }, t.world.as(''));
    await t.refused(400, { ...login, secret_id: 'wrong' }, { by: t.nobody, says: 'invalid role or secret ID' });
});

async function withRole(t) {
    const name = t.world.name('role');
    await t.root.addTokenRole({ role_name: name, allowed_policies: 'p' });
    return name;
}

async function withApprole(t) {
    const mount = await t.world.authMount('approle');
    const role = { mount_point: mount, role_name: 'r' };
    await t.root.addApproleRole({ ...role, policies: 'p' });
    const made = (await t.root.getApproleRoleSecret({ ...role, metadata: '{"k":"v"}' })).data;
    return { mount, role, made };
}

module.exports = rows;
