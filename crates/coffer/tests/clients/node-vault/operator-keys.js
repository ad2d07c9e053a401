// The life of a server with a Shamir seal, in the order in which an operator meets it.
'use strict';

const { check, empty, table, text } = require('./table');

const { rows, row } = table();
const held = { keys: [], root: null };

row('initialized', async (t) => {
    await t.succeeds({}, { initialized: true });
    await t.succeeds({}, { initialized: false }, t.world.as('', t.world.shamirUrl));
}, { refusal: 'it answers everyone' });

row('init', async (t) => {
    const by = t.world.as('', t.world.shamirUrl);
    await t.refused(400, { secret_shares: 1, secret_threshold: 2 }, { by });
    const gives = { keys: [text, text, text], keys_base64: [text, text, text], root_token: text };
    const made = await t.succeeds({ secret_shares: 3, secret_threshold: 2 }, gives, by);
    Object.assign(held, { keys: made.keys, root: t.world.as(made.root_token, t.world.shamirUrl) });
    await t.refused(400, { secret_shares: 3, secret_threshold: 2 }, { by, says: 'Vault is already initialized' });
});

row('unseal', async (t) => {
    const by = held.root;
    await t.succeeds({ key: held.keys[0] }, { sealed: true, t: 2, n: 3, progress: 1 }, by);
    await t.succeeds({ reset: true }, { sealed: true, progress: 0 }, by);
    await t.refused(400, { key: 'not a key' }, { by, says: "'key' must be a valid hex or base64 string" });
    await t.succeeds({ key: held.keys[0] }, { progress: 1 }, by);
    await t.succeeds({ key: held.keys[2] }, { sealed: false, progress: 0 }, by);
});

row('generateRootInit', async (t) => {
    const by = held.root;
    await t.refused(400, { otp: 'short' }, { by });
    const gives = { started: true, nonce: text, progress: 0, required: 2, otp: text, otp_length: Number };
    await t.succeeds({}, gives, by);
    await t.refused(400, {}, { by, says: 'root generation already in progress' });
    await by.generateRootCancel();
});

row('generateRootCancel', async (t) => {
    await held.root.generateRootInit();
    await t.succeeds({}, empty, held.root);
    check(!(await held.root.read('sys/generate-root/attempt')).started, 'still going on');
    await held.root.seal();
    await t.refused(503, {}, { by: held.root, says: 'Vault is sealed' });
    await unseal();
});

row('generateRootUpdate', async (t) => {
    const by = held.root;
    const { nonce, otp } = await by.generateRootInit();
    await t.refused(400, { key: held.keys[0], nonce: 'another' }, { by });
    await t.succeeds({ key: held.keys[0], nonce }, { progress: 1, complete: false }, by);
    const done = await t.succeeds({ key: held.keys[1], nonce }, { progress: 2, complete: true, encoded_root_token: text }, by);
    const mixed = Buffer.from(done.encoded_root_token, 'base64');
    const token = mixed.map((byte, at) => byte ^ otp.charCodeAt(at)).toString();
    const found = await t.world.as(token, t.world.shamirUrl).tokenLookupSelf();
    check(found.data.policies[0] === 'root', 'no root token');
});

row('seal', async (t) => {
    const { client_token: token } = (await t.world.as(held.root.token, t.world.shamirUrl).tokenCreate({ policies: ['default'] })).auth;
    await t.refused(403, {}, { by: t.world.as(token, t.world.shamirUrl) });
    await t.succeeds({}, empty, held.root);
    check((await held.root.status()).sealed, 'not sealed');
    await unseal();
});

async function unseal() {
    await held.root.unseal({ key: held.keys[0] });
    await held.root.unseal({ key: held.keys[1] });
}

module.exports = rows;
