// A running `voltry-sim station` with a screen, steered by lines, and a browser before it.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const root = resolve(import.meta.dirname, '../..');
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
/** Where the pictures go that the documentation speaks of. */
export const pictures = join(target, 'screenshots');
mkdirSync(pictures, { recursive: true });

/** Longer than anything takes on a slow machine. */
export const patience = 60_000;

const freePort = () => new Promise((done) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

export class Station {
  #process; #folder; #waiting = []; #over;

  /** A station of this topology (TOML), ready for a vehicle; without a screen of its own its bus is there for one. */
  static async start(topology, { screen = true } = {}) {
    const station = new Station();
    const port = await freePort();
    station.url = `http://127.0.0.1:${port}`;
    station.#folder = mkdtempSync(join(tmpdir(), 'voltry-browser-'));
    const file = join(station.#folder, 'topology.toml');
    writeFileSync(file, `${screen ? `screen = "127.0.0.1:${port}"` : ''}\n${topology}`);
    const options = ['station', '--broker-first', '--topology', file, '--state', join(station.#folder, 'state')];
    station.bus = `unix:path=${join(station.#folder, 'state/bus')}`;
    station.#process = spawn(join(target, 'debug/voltry-sim'), options, { stdio: ['pipe', 'pipe', 'inherit'] });
    station.#over = new Promise((done) => station.#process.on('exit', done));
    createInterface(station.#process.stdout).on('line', (line) => station.#waiting.shift()?.(line));
    const ready = await Promise.race([station.#line(), station.#over]);
    if (ready !== 'ready') throw new Error(`the station did not come up: ${ready}`);
    return station;
  }

  #line() { return new Promise((done) => this.#waiting.push(done)); }

  /** What the simulator answers to a line, as `plug 1`. */
  async say(line) {
    const answer = this.#line();
    this.#process.stdin.write(`${line}\n`);
    const said = await Promise.race([answer, this.#over]);
    if (!`${said}`.startsWith('ok')) throw new Error(`${line}: ${said}`);
    return said;
  }

  async end() {
    this.#process.stdin.write('quit\n');
    await this.#over;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** `voltry-ui` beside the simulator, which has no screen then, with a technician's page and these accounts. */
export class TechniciansPage {
  #process; #folder;

  static async start(station, accounts) {
    const page = new TechniciansPage();
    page.#folder = mkdtempSync(join(tmpdir(), 'voltry-page-'));
    const [kiosk, port] = [await freePort(), await freePort()];
    const at = (name) => join(page.#folder, name);
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', '/CN=localhost', '-keyout', at('key.pem'), '-out', at('cert.pem')], { stdio: 'ignore' });
    writeFileSync(at('accounts.toml'), accounts);
    writeFileSync(at('voltry.toml'), `[ui]\nkiosk = "127.0.0.1:${kiosk}"\n[ui.technician]\naddress = "127.0.0.1:${port}"\n`
      + `certificate = "${at('cert.pem')}"\nkey = "${at('key.pem')}"\naccounts = "${at('accounts.toml')}"\naudit = "${at('audit.log')}"\n`
      + '[evse.1]\nev_link = { name = "org.voltry.Secc.N1", path = "/org/voltry/ev_link/1" }\n'
      + 'connector_io = { name = "org.voltry.Board1", path = "/org/voltry/connector/1" }\n'
      + 'power_supply = { name = "org.voltry.Power1", path = "/org/voltry/power_supply/1" }\n');
    page.url = `https://127.0.0.1:${port}`;
    page.#process = spawn(join(target, 'debug/voltry-ui'), ['--bus', station.bus, '--config', page.#folder], { stdio: 'ignore' });
    for (let ready = false; !ready;) {
      if (page.#process.exitCode !== null) throw new Error(`voltry-ui ended with ${page.#process.exitCode}`);
      ready = await fetch(`http://127.0.0.1:${kiosk}/`).then((answer) => answer.ok, () => false);
    }
    return page;
  }

  async end() {
    const over = new Promise((done) => this.#process.on('exit', done));
    this.#process.kill();
    await over;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export const findBrowser = () => ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

export const browse = () => chromium.launch({
  executablePath: findBrowser(),
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
