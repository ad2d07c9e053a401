// What a row of the table is, how it runs, and the check that no command of node-vault stands in neither list.
'use strict';

const vault = require('node-vault');

const ORACLE = Boolean(process.env.COFFER_ORACLE);

// Runs the rows, or those with one of these words in their name, and gives the exit code.
async function run(rows, later, only) {
    // node-vault's timers of renewals let the process end before they are up.
    const alive = setInterval(() => {}, 1000);
    const world = new World();
    await world.prepare();
    const problems = only.length === 0 ? gaps(rows, later) : [];
    const chosen = rows.filter(({ name }) => only.length === 0 || only.some((word) => name.includes(word)));
    let succeeded = 0;
    let refused = 0;
    for (const { name, lacking, body } of chosen) {
        const row = new Row(world, name);
        try {
            await body(row);
        } catch (error) {
            problems.push(`${name}: ${error.stack}`);
            continue;
        }
        if ((row.successes === 0) !== ('success' in lacking) || (row.refusals === 0) !== ('refusal' in lacking)) {
            problems.push(`${name}: ${row.successes} successes and ${row.refusals} refusals`);
        }
        succeeded += row.successes > 0;
        refused += row.refusals > 0;
    }
    clearInterval(alive);
    problems.forEach((problem) => console.log(`WRONG ${problem}`));
    const without = (kind) => {
        const count = rows.filter(({ lacking }) => kind in lacking).length;
        return count > 0 ? ` (${count} cannot be)` : '';
    };
    const counts = `${succeeded} succeeded${without('success')}, ${refused} refused as expected${without('refusal')}`;
    console.log(`node-vault: ${chosen.length} calls, ${counts}, ${Object.keys(later).length} later`);
    return problems.length > 0 ? 1 : 0;
}

// What stands in neither list, or in both, or names nothing.
function gaps(rows, later) {
    const client = vault({});
    const known = Object.keys(client).filter((key) => typeof client[key] === 'function');
    const listed = [...rows.map(({ name }) => name), ...Object.keys(later)];
    return [
        ...known.filter((name) => !listed.includes(name)).map((name) => `${name}: neither in the table nor in the later list`),
        ...listed.filter((name, at) => listed.indexOf(name) !== at).map((name) => `${name}: listed more than once`),
        ...listed.filter((name) => !known.includes(name)).map((name) => `${name}: node-vault has no such command`),
    ];
}

// One command: `succeeds` and `refused` call it and hold what comes back against what is expected.
class Row {
    constructor(world, title) {
        Object.assign(this, { world, title, successes: 0, refusals: 0 });
        Object.assign(this, { root: world.root, weak: world.weak, nobody: world.nobody });
    }

    // Calls as root, or as the client in `by`, and returns what the call gave, which must match.
    async succeeds(args, gives, by = this.root) {
        const given = await this.call(args, by);
        const difference = mismatch(gives, given, '');
        if (difference) throw new Error(`${difference} in ${JSON.stringify(given)}`);
        this.successes += 1;
        return given;
    }

    // Calls as root, or as the client in `by`; the server must answer this status with this text in its first error.
    // `oracle` is the status of OpenBao where it answers a mistake of the client with 500.
    async refused(status, args, { by = this.root, says = '', oracle = status } = {}) {
        const expected = ORACLE ? oracle : status;
        let given;
        try {
            given = await this.call(args, by);
        } catch (error) {
            const met = error.response && error.response.statusCode;
            if (met !== expected || !error.message.includes(says)) {
                throw new Error(`${met} ${error.message} instead of ${expected} ${says}`);
            }
            this.refusals += 1;
            return;
        }
        throw new Error(`not refused with ${expected}: ${JSON.stringify(given)}`);
    }

    // Calls with a token that no policy grants anything.
    forbidden(args) {
        return this.refused(403, args, { by: this.weak, says: 'permission denied' });
    }

    call(args, by) {
        return Array.isArray(args) ? by[this.title](...args) : by[this.title](args);
    }
}

// The servers, clients of several rights, and what rows need to be there. Names are never used twice.
class World {
    constructor() {
        this.names = 0;
        this.shamirUrl = process.env.SHAMIR_URL;
        this.root = this.as('root');
        this.nobody = this.as('');
    }

    async prepare() {
        this.weak = this.as((await this.token({ policies: ['nothing'], no_default_policy: true })).client_token);
    }

    as(token, endpoint = process.env.DEV_URL) {
        return vault({ endpoint, token });
    }

    // A client of its own makes it, for node-vault goes over to each token that it makes.
    async token(options) {
        return (await this.as('root').tokenCreate(options)).auth;
    }

    name(kind) {
        this.names += 1;
        return `${kind}-${this.names}`;
    }

    async mount(type, options) {
        const path = this.name(type);
        await this.root.mount({ mount_point: path, type, options });
        return path;
    }

    async authMount(type) {
        const path = this.name(type);
        await this.root.enableAuth({ mount_point: path, type });
        return path;
    }
}

// Makes a list of rows, and what puts one into it. `lacking` says why a row has no success or no refusal.
function table() {
    const rows = [];
    return { rows, row: (name, body, lacking = {}) => rows.push({ name, body, lacking }) };
}

// Where a value differs from a pattern: an object asks for its keys and lets others be, an array for each of its elements
// in order, a constructor for its type, a function for its truth, and anything else for itself.
function mismatch(pattern, value, at) {
    const shown = `${at || 'value'} is ${JSON.stringify(value)}`;
    if (pattern === String || pattern === Number || pattern === Boolean) {
        return typeof value === pattern.name.toLowerCase() ? null : `${shown}, not a ${pattern.name}`;
    }
    if (typeof pattern === 'function') return pattern(value) ? null : `${shown}, which is wrong`;
    if (Array.isArray(pattern)) {
        if (!Array.isArray(value) || value.length !== pattern.length) return `${shown}, not ${JSON.stringify(pattern)}`;
        return pattern.map((inner, i) => mismatch(inner, value[i], `${at}[${i}]`)).find(Boolean) || null;
    }
    if (pattern !== null && typeof pattern === 'object') {
        if (value === null || typeof value !== 'object') return `${shown}, not an object`;
        const keys = Object.keys(pattern);
        return keys.map((key) => mismatch(pattern[key], value[key], `${at}.${key}`)).find(Boolean) || null;
    }
    return pattern === value ? null : `${shown}, not ${JSON.stringify(pattern)}`;
}

// Matches what node-vault gives for 204.
const empty = (value) => value === '' || value === undefined;

// Matches a text with something in it.
const text = (value) => typeof value === 'string' && value !== '';

// Matches an array, or the keys of an object, with this in it.
const holds = (element) => (value) => (Array.isArray(value) ? value : Object.keys(value)).includes(element);

// Fails when what was expected to hold does not.
function check(truth, what) {
    if (!truth) throw new Error(what);
}

module.exports = { ORACLE, check, empty, holds, run, table, text };
