// npm's `ocpp-rpc` in strict mode as a CSMS: strict_rpc.js PORT FIRST_TRANSACTION
//
// Tells a line of JSON for each thing that happens, takes one for each call to make.
'use strict';
const { RPCServer } = require('ocpp-rpc');
const readline = require('node:readline');

let transaction = Number(process.argv[3]);
let station = null;
const tell = (what) => console.log(JSON.stringify(what));
const now = () => new Date().toISOString();
const accepted = { status: 'Accepted' };

const answers = {
  BootNotification: () => ({ status: 'Accepted', currentTime: now(), interval: 300 }),
  Heartbeat: () => ({ currentTime: now() }),
  StatusNotification: () => ({}),
  MeterValues: () => ({}),
  SecurityEventNotification: () => ({}),
  FirmwareStatusNotification: () => ({}),
  NotifyReport: () => ({}),
  NotifyEvent: () => ({}),
  NotifyEVChargingNeeds: () => ({ status: 'Rejected' }),
  Authorize: (message) => (message.idTag ? { idTagInfo: accepted } : { idTokenInfo: accepted }),
  StartTransaction: () => ({ idTagInfo: accepted, transactionId: transaction++ }),
  StopTransaction: () => ({}),
  TransactionEvent: (message) => (message.idToken ? { idTokenInfo: accepted } : {}),
};

const server = new RPCServer({ protocols: ['ocpp1.6', 'ocpp2.0.1'], strictMode: true });
server.on('client', (client) => {
  station = client;
  client.on('strictValidationFailure', ({ error }) => tell({ wrong: String(error.details ?? error) }));
  client.on('badMessage', ({ error }) => tell({ wrong: `no message: ${error}` }));
  for (const [action, answer] of Object.entries(answers)) {
    client.handle(action, ({ params }) => {
      const reply = answer(params);
      tell({ told: [action, params, reply] });
      return reply;
    });
  }
  client.handle(({ method }) => {
    tell({ wrong: `${method} was not expected` });
    return {};
  });
});

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const [action, params] = JSON.parse(line).call;
  try {
    tell({ answer: await station.call(action, params) });
  } catch (error) {
    tell({ answer: { refused: String(error) } });
  }
});
server.listen(Number(process.argv[2]), '127.0.0.1').then(() => tell({ listens: true }));
