// Calls every command of node-vault that is in scope, once so that it succeeds and once so that it is refused, and prints
// the counts. Servers: DEV_URL, unsealed with the root token `root`, and SHAMIR_URL, never initialised, with a Shamir seal.
'use strict';

const { run } = require('./table');
const later = require('./later');

const rows = [...require('./system'), ...require('./auth'), ...require('./operator-keys'), ...require('./transit')];
run(rows, later, process.argv.slice(2)).then((code) => { process.exitCode = code; });
