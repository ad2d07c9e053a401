// Transit: keys that are used on the server and stay there. node-vault knows the engine at its usual path.
'use strict';

const { check, empty, table, text } = require('./table');

const { rows, row } = table();

const PLAIN = 'aGVsbG8=';
const made = (version) => ({ ciphertext: (given) => given.startsWith(`vault:v${version}:`), key_version: version });

row('transitCreateKey', async (t) => {
    const name = await key(t);
    await t.succeeds({ name, type: 'ed25519' }, { data: { name, type: 'aes256-gcm96', latest_version: 1 } });
    const signs = { type: 'ecdsa-p256', supports_signing: true, keys: { 1: { name: 'P-256', public_key: text } } };
    await t.succeeds({ name: t.world.name('key'), type: 'ecdsa-p256' }, { data: signs });
    await t.refused(400, { name: t.world.name('key'), type: 'nosuch' }, { says: 'unknown key type nosuch' });
    await t.forbidden({ name });
});

row('transitReadKey', async (t) => {
    const name = await key(t, { exportable: true });
    await t.succeeds({ name }, { data: { name, exportable: true, keys: { 1: Number }, supports_encryption: true } });
    await t.refused(404, { name: 'none' });
    await t.forbidden({ name });
});

row('transitListKeys', async (t) => {
    const name = await key(t);
    const { data } = await t.succeeds({}, { data: { keys: (given) => Array.isArray(given) } });
    check(data.keys.includes(name), 'the key is not in the list');
    await t.forbidden({});
});

row('transitDeleteKey', async (t) => {
    const name = await key(t);
    await t.refused(400, { name }, { says: 'deletion is not allowed for this key' });
    await t.root.write(`transit/keys/${name}/config`, { deletion_allowed: true });
    await t.forbidden({ name });
    await t.succeeds({ name }, empty);
    await t.refused(400, { name }, { says: 'could not delete key; not found' });
});

row('encryptData', async (t) => {
    const name = await key(t);
    await t.succeeds({ name, plaintext: PLAIN }, { data: made(1) });
    const { data } = await t.succeeds({ name, batch_input: [{ plaintext: PLAIN }] }, { data: { batch_results: (given) => Array.isArray(given) } });
    check(made(1).ciphertext(data.batch_results[0].ciphertext), 'no ciphertext in the list');
    await t.refused(400, { name, plaintext: '!!' }, { says: 'illegal base64 data at input byte 0' });
    await t.forbidden({ name, plaintext: PLAIN });
});

row('decryptData', async (t) => {
    const name = await key(t);
    const { ciphertext } = (await t.root.encryptData({ name, plaintext: PLAIN })).data;
    await t.succeeds({ name, ciphertext }, { data: { plaintext: PLAIN } });
    await t.refused(400, { name: await key(t), ciphertext }, { says: 'message authentication failed' });
    await t.forbidden({ name, ciphertext });
});

row('rewrapData', async (t) => {
    const name = await key(t);
    const { ciphertext } = (await t.root.encryptData({ name, plaintext: PLAIN })).data;
    await t.root.write(`transit/keys/${name}/rotate`, {});
    const { data } = await t.succeeds({ name, ciphertext }, { data: made(2) });
    check((await t.root.decryptData({ name, ciphertext: data.ciphertext })).data.plaintext === PLAIN, 'another plaintext');
    await t.refused(400, { name, ciphertext: 'garbage' }, { says: 'invalid ciphertext: no prefix' });
    await t.forbidden({ name, ciphertext });
});

// A key of its own, in the engine at `transit`, which is there after the first call.
async function key(t, options = {}) {
    const mounts = (await t.root.mounts()).data;
    if (!('transit/' in mounts)) await t.root.mount({ mount_point: 'transit', type: 'transit' });
    const name = t.world.name('key');
    await t.root.transitCreateKey({ name, ...options });
    return name;
}

module.exports = rows;
