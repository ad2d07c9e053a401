// What `sys` offers while the server is unsealed, and the client's own ways to read and write.
'use strict';

const { ORACLE, check, empty, holds, table, text } = require('./table');

const { rows, row } = table();

const POLICY = 'path "secret/*" { capabilities = ["read"] }';
const everyone = { refusal: 'it answers everyone' };

row('health', async (t) => {
    const gives = { initialized: true, sealed: false, standby: false, version: text, cluster_name: text, server_time_utc: Number };
    await t.succeeds({}, gives);
    await t.succeeds({ activecode: 299 }, gives, t.nobody);
}, { refusal: 'node-vault takes every answer for a health' });

row('status', async (t) => {
    await t.succeeds({}, { sealed: false, t: Number, n: Number, progress: 0, version: text }, t.nobody);
}, everyone);

row('leader', async (t) => {
    await t.succeeds({}, { ha_enabled: Boolean }, t.nobody);
}, everyone);

row('stepDown', async (t) => {
    await t.succeeds({}, empty);
}, { refusal: 'where nothing stands by, OpenBao lets anyone ask' });

row('mounts', async (t) => {
    const gives = { 'secret/': { type: 'kv', options: { version: '2' }, accessor: text }, 'sys/': { type: 'system' } };
    await t.succeeds({}, { ...gives, data: gives });
    await t.forbidden({});
});

row('mount', async (t) => {
    const path = t.world.name('kv');
    await t.succeeds({ mount_point: path, type: 'kv', description: 'd', options: { version: '2' } }, empty);
    check((await t.root.mounts()).data[`${path}/`].description === 'd', 'no such mount');
    await t.refused(400, { mount_point: path, type: 'kv' }, { says: 'path is already in use' });
    await t.refused(400, { mount_point: t.world.name('none'), type: 'unheard-of' });
    await t.forbidden({ mount_point: 'other', type: 'kv' });
});

row('unmount', async (t) => {
    const path = await t.world.mount('kv');
    await t.succeeds({ mount_point: path }, empty);
    check(!(`${path}/` in (await t.root.mounts()).data), 'still mounted');
    await t.refused(400, { mount_point: 'cubbyhole' });
    await t.forbidden({ mount_point: 'secret' });
});

row('remount', async (t) => {
    const [from, to] = [await t.world.mount('kv'), t.world.name('moved')];
    await t.succeeds({ from, to }, { migration_id: text, data: { migration_id: text } });
    await t.refused(400, { from: 'none', to });
    await t.forbidden({ from: to, to: from });
});

row('policies', async (t) => {
    const gives = { keys: holds('default'), policies: holds('root') };
    await t.succeeds({}, { ...gives, data: gives });
    await t.forbidden({});
});

row('addPolicy', async (t) => {
    await t.succeeds({ name: 'p-add', rules: POLICY, policy: POLICY }, empty);
    await t.refused(400, { name: 'p-bad', policy: 'path {' }, { says: 'failed to parse policy' });
    await t.forbidden({ name: 'p-add', policy: POLICY });
});

row('getPolicy', async (t) => {
    await t.root.addPolicy({ name: 'p-get', policy: POLICY });
    await t.succeeds({ name: 'p-get' }, { name: 'p-get', rules: POLICY, data: { name: 'p-get', rules: POLICY } });
    await t.refused(404, { name: 'none' });
    await t.forbidden({ name: 'p-get' });
});

row('removePolicy', async (t) => {
    await t.root.addPolicy({ name: 'p-gone', policy: POLICY });
    await t.succeeds({ name: 'p-gone' }, empty);
    await t.refused(400, { name: 'root' });
    await t.forbidden({ name: 'p-gone' });
});

row('auths', async (t) => {
    const gives = { 'token/': { type: 'token', accessor: text, config: { token_type: 'default-service' } } };
    await t.succeeds({}, { ...gives, data: gives });
    await t.forbidden({});
});

row('enableAuth', async (t) => {
    const path = t.world.name('userpass');
    await t.succeeds({ mount_point: path, type: 'userpass', description: 'd' }, empty);
    check((await t.root.auths()).data[`${path}/`].description === 'd', 'no such method');
    await t.refused(400, { mount_point: path, type: 'userpass' }, { says: 'path is already in use' });
    await t.forbidden({ mount_point: 'other', type: 'userpass' });
});

row('disableAuth', async (t) => {
    const path = await t.world.authMount('approle');
    await t.succeeds({ mount_point: path }, empty);
    await t.refused(400, { mount_point: 'token' });
    await t.forbidden({ mount_point: 'token' });
});

row('audits', async (t) => {
    await t.succeeds({}, { data: (devices) => Object.keys(devices).every((path) => path.endsWith('/')) });
    await t.forbidden({});
});

const configured = { success: 'audit devices are the configuration\'s, as in OpenBao by default' };

row('enableAudit', async (t) => {
    await t.refused(400, { name: 'x', type: 'file', options: { file_path: '/dev/null' } });
    await t.forbidden({ name: 'x', type: 'file', options: { file_path: '/dev/null' } });
}, configured);

row('disableAudit', async (t) => {
    const name = Object.keys((await t.root.audits()).data)[0].replace('/', '');
    await t.refused(400, { name });
    await t.forbidden({ name });
}, configured);

row('renew', async (t) => {
    await t.refused(400, { lease_id: 'unknown' }, { says: 'lease not found' });
    await t.forbidden({ lease_id: 'unknown' });
}, { success: 'no engine here gives out a lease that is not a token\'s' });

row('revoke', async (t) => {
    const { lease, login } = await tokenLease(t);
    await t.succeeds({ lease_id: lease }, empty);
    check(await isGone(t, login), 'the token of a revoked lease lives on');
    await t.refused(400, { lease_id: '' }, { says: 'lease_id must be specified' });
    await t.forbidden({ lease_id: lease });
});

row('revokePrefix', async (t) => {
    const { prefix, login } = await tokenLease(t);
    if (ORACLE) {
        await t.refused(404, { path_prefix: prefix });
    } else {
        await t.succeeds({ path_prefix: prefix }, empty);
        check(await isGone(t, login), 'the token of a revoked lease lives on');
    }
    await t.forbidden({ path_prefix: prefix });
}, ORACLE ? { success: 'Vault has this path still, and OpenBao no more' } : {});

row('rotate', async (t) => {
    const before = (await t.root.read('sys/key-status')).data.term;
    await t.succeeds({}, empty);
    check((await t.root.read('sys/key-status')).data.term === before + 1, 'no new term');
    await t.forbidden({});
});

row('unwrap', async (t) => {
    const wrap = { headers: { 'X-Vault-Wrap-TTL': '60s' } };
    const { wrap_info: info } = await t.root.write('sys/wrapping/wrap', { k: 'v' }, wrap);
    await t.succeeds({ token: info.token }, { data: { k: 'v' }, wrap_info: null });
    await t.refused(400, { token: info.token }, { says: 'wrapping token is not valid or does not exist' });
});

row('destroySecretVersions', async (t) => {
    const mount = await t.world.mount('kv', { version: '2' });
    await t.root.write(`${mount}/data/a`, { data: { n: 1 } });
    await t.succeeds({ mount_point: mount, path: 'a', versions: [1] }, empty);
    check((await t.root.read(`${mount}/metadata/a`)).data.versions['1'].destroyed, 'not destroyed');
    await t.forbidden({ mount_point: mount, path: 'a', versions: [1] });
});

row('write', async (t) => {
    const path = `${await t.world.mount('kv')}/a`;
    await t.succeeds([path, { n: 1, deep: { er: [true, null] } }], empty);
    await t.refused(400, [path, {}], { says: 'missing data fields' });
    await t.forbidden([path, { n: 1 }]);
});

row('read', async (t) => {
    const path = `${await t.world.mount('kv')}/a`;
    await t.root.write(path, { n: 1, deep: { er: [true, null] } });
    await t.succeeds([path], { data: { n: 1, deep: { er: [true, null] } }, lease_duration: 2764800, renewable: false });
    await t.refused(404, [`${path}/none`]);
    await t.forbidden([path]);
});

row('list', async (t) => {
    const mount = await t.world.mount('kv');
    await t.root.write(`${mount}/dir/a`, { n: 1 });
    await t.succeeds([mount], { data: { keys: ['dir/'] } });
    await t.refused(404, [`${mount}/none`]);
    await t.forbidden([mount]);
});

row('update', async (t) => {
    const mount = await t.world.mount('kv', { version: '2' });
    await t.root.write(`${mount}/data/a`, { data: { kept: 1, gone: 2 } });
    await t.succeeds([`${mount}/data/a`, { data: { gone: null, more: 3 } }], { data: { version: 2 } });
    const found = (await t.root.read(`${mount}/data/a`)).data.data;
    check(JSON.stringify(found) === '{"kept":1,"more":3}', JSON.stringify(found));
    await t.refused(404, [`${mount}/data/none`, { data: {} }]);
    await t.forbidden([`${mount}/data/a`, { data: {} }]);
});

row('delete', async (t) => {
    const path = `${await t.world.mount('kv')}/a`;
    await t.root.write(path, { n: 1 });
    await t.succeeds([path], empty);
    await t.forbidden([path]);
});

row('request', async (t) => {
    await t.succeeds({ path: '/auth/token/lookup-self', method: 'GET' }, { data: { id: 'root' } });
    await t.forbidden({ path: '/auth/token/lookup-self', method: 'GET' });
    await t.refused(404, { path: '/none/at-all', method: 'GET' }, { says: 'no handler for route' });
});

row('help', async (t) => {
    await t.succeeds(['sys/policy'], { help: text });
    await t.refused(403, ['sys/policy'], { by: t.nobody });
});

async function tokenLease(t) {
    const mount = await t.world.authMount('userpass');
    await t.root.write(`auth/${mount}/users/u`, { password: 'pw' });
    const { auth } = await t.nobody.write(`auth/${mount}/login/u`, { password: 'pw' });
    const prefix = `auth/${mount}/login/u`;
    const { data } = await t.root.list(`sys/leases/lookup/${prefix}`);
    return { prefix, lease: `${prefix}/${data.keys[0]}`, login: auth.client_token };
}

async function isGone(t, token) {
    // A revoked lease may take its token along a moment later.
    for (let tries = 0; tries < 100; tries += 1) {
        const answer = await t.world.as(token).tokenLookupSelf().catch((error) => error.response.statusCode);
        if (answer === 403) return true;
        await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
    return false;
}

module.exports = rows;
