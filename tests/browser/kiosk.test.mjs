// The screen at the charger, seen by a driver: real daemons, a simulated car, Debian's Chromium.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { join } from 'node:path';
import { accessible, close, open as openAt } from './checks.mjs';
import { Station, browse, patience, pictures } from './station.mjs';

// One car that is soon full and one that charges until it is stopped.
const topology = `
name = "Harbour"
evses = 2
free = false
tokens = ["04A1B2C3"]
[[evse]]
monitor_pace = 10
vehicle = { capacity_wh = 1500.0, soc = 20.0, target_soc = 80.0 }
[[evse]]
monitor_pace = 10
vehicle = { capacity_wh = 60000.0, soc = 20.0, target_soc = 80.0 }
[config.ui]
help_line = "0800 123 456"
price = { currency = "EUR", per_kwh = 0.59, per_minute = 0.10, per_minute_after = 240 }
`;

let station, browser;
before(async () => {
  station = await Station.start(topology);
  browser = await browse();
});
after(async () => {
  await browser?.close();
  await station?.end();
});

// What one test leaves plugged in is no matter of the next.
afterEach(async () => {
  for (const evse of [1, 2]) await station.say(`unplug ${evse}`).catch(() => {});
});

const open = (path = '/en', options = {}) => openAt(browser, station.url + path, options);
const state = (page, evse, key) => page.locator(`[data-evse="${evse}"][data-state="state-${key}"]`).waitFor();
const words = (page, evse) => page.locator(`[data-evse="${evse}"]`).innerText();
const picture = (page, name) => page.screenshot({ path: join(pictures, `${name}.png`) });

/** What nobody can read or hit. */
const fits = async (page, where) => {
  const wrong = await page.evaluate(() => {
    const told = [];
    if (document.documentElement.scrollWidth > innerWidth) told.push(`${document.documentElement.scrollWidth} wide`);
    for (const target of document.querySelectorAll('a, button')) {
      const { width, height } = target.getBoundingClientRect();
      if (width && (width < 56 || height < 56)) told.push(`${target.textContent}: ${width} × ${height}`);
    }
    return told;
  });
  assert.deepEqual(wrong, [], where);
};

test('a driver sees a whole charge, from the price to the receipt', { timeout: 4 * patience }, async () => {
  const page = await open();
  await state(page, 1, 'free');
  assert.match(await words(page, 1), /0\.59.EUR per kWh[^]*0\.10.EUR per minute from minute 240 on/);
  await picture(page, 'free');
  await accessible(page, 'free');
  await station.say('plug 1');
  await state(page, 1, 'authorize');
  await picture(page, 'authorize');
  await accessible(page, 'authorize');
  await station.say('swipe 04A1B2C3 1');
  await state(page, 1, 'preparing');
  await page.locator('[data-evse="1"] [aria-current=step]', { hasText: 'insulation' }).waitFor();
  await picture(page, 'preparing');
  await state(page, 1, 'charging');
  await page.locator('[data-evse="1"] dd', { hasText: /[1-9][0-9.]* kW$/ }).waitFor();
  await page.locator('[data-evse="1"] dd', { hasText: /about [0-9]+ min to 80 %/ }).waitFor();
  assert.match(await words(page, 1), /Energy[^]*kWh[^]*Battery[^]*%[^]*Time left/);
  await picture(page, 'charging');
  await accessible(page, 'charging');
  await state(page, 1, 'finished');
  await page.locator('[data-evse="1"] .receipt').waitFor();
  assert.match(await words(page, 1), /Your charge[^]*0\.9\d\s*kWh[^]*Ended by your vehicle/);
  await picture(page, 'finished');
  await accessible(page, 'finished');
  assert.doesNotMatch(await page.content(), /04A1|04\*/i, 'whose card it was is nobody\'s business');
  await station.say('unplug 1');
  await state(page, 1, 'free');
  assert.equal(await page.locator('[data-evse="1"] .receipt').count(), 0, 'the next driver sees no receipt');
  await close(page);
});

test('a driver stops the charge, and is asked before', { timeout: 3 * patience }, async () => {
  const page = await open();
  await station.say('plug 2');
  await state(page, 2, 'authorize');
  await station.say('swipe 04A1B2C3 2');
  await state(page, 2, 'charging');
  await page.locator('[data-evse="2"]').getByRole('link', { name: 'Stop charging' }).click();
  await picture(page, 'stop');
  await accessible(page, 'stop');
  await fits(page, 'stop');
  await page.getByRole('link', { name: 'No, go on' }).click();
  await state(page, 2, 'charging');
  await station.say('kill ui');
  await page.locator('#offline').waitFor();
  await page.locator('#offline').waitFor({ state: 'hidden' });
  await state(page, 2, 'charging');
  assert.match(await station.say('status 2'), /state=charging/, 'the charge went on without the screen');
  await page.locator('[data-evse="2"]').getByRole('link', { name: 'Stop charging' }).click();
  await page.getByRole('button', { name: 'Yes, stop' }).click();
  await state(page, 2, 'finished');
  await page.locator('[data-evse="2"] .receipt', { hasText: 'Ended by you' }).waitFor();
  await station.say('unplug 2');
  await state(page, 2, 'free');
  await close(page);
});

test('an emergency stop is on the screen within a second, in words and to screen readers', { timeout: 2 * patience }, async () => {
  const page = await open();
  await state(page, 1, 'free');
  // From the simulated button to the pixel; the machine's own delay is not the page's.
  await page.evaluate(() => new MutationObserver(() => { window.changed ??= performance.timeOrigin + performance.now(); })
    .observe(document.querySelector('[data-evse="1"]'), { attributes: true, attributeFilter: ['data-state'] }));
  const pressed = performance.timeOrigin + performance.now();
  await station.say('fault emergency-stop 1');
  await state(page, 1, 'fault');
  const took = await page.evaluate(() => window.changed) - pressed;
  console.log(`from the button to the screen: ${took.toFixed(0)} ms`);
  assert.ok(took < 1000 * 3, `${took} ms, with threefold slack for a machine that is busy`);
  assert.match(await words(page, 1), /Out of order[^]*emergency stop was pressed[^]*MREC8EmergencyStop/);
  assert.equal(await page.locator('[data-evse="1"]').getByRole('status').innerText(), 'Out of order');
  assert.match(await page.locator('footer').innerText(), /0800 123 456/);
  await picture(page, 'fault');
  await accessible(page, 'fault');
  await station.say('clear emergency-stop 1');
  await station.say('power-cut');
  await state(page, 1, 'free');
  await close(page);
});

// Whoever judges codes is away: nobody needs him to type one.
const withoutCard = `
free = false
[[evse]]
monitor_pace = 10
[config.station]
key_pad = true
start_button = true
csms = { name = "org.voltry.Ocpp1", path = "/org/voltry/csms" }
`;

test('a driver without a card types a code that nobody reads, or presses start', { timeout: 3 * patience }, async () => {
  const other = await Station.start(withoutCard);
  try {
    const page = await openAt(browser, `${other.url}/en`);
    await other.say('plug 1');
    await state(page, 1, 'authorize');
    await accessible(page, 'authorize, without a card');
    await page.getByRole('link', { name: 'Enter a code' }).click();
    for (const digit of '47110') await page.getByRole('button', { name: digit, exact: true }).click();
    await page.getByRole('button', { name: 'Delete the last digit' }).click();
    assert.equal(await page.locator('#code').inputValue(), '4711');
    await picture(page, 'code');
    await accessible(page, 'code');
    await fits(page, 'code');
    assert.doesNotMatch(await page.locator('main').innerText(), /4711/);
    await page.getByRole('link', { name: 'Back' }).click();
    await state(page, 1, 'authorize');
    await fits(page, 'authorize, without a card');
    await page.getByRole('button', { name: 'Start charging' }).click();
    await state(page, 1, 'charging');
    await close(page);
  } finally {
    await other.end();
  }
});

test('each language is spoken whole, on every size of screen, by day and by night', { timeout: 3 * patience }, async () => {
  const sizes = [
    ['7 inches', { width: 1024, height: 600 }], ['15 inches', { width: 1920, height: 1080 }],
    ['upright', { width: 800, height: 1280 }], ['telephone', { width: 360, height: 740 }],
  ];
  for (const [name, size] of sizes) {
    const page = await open('/en', size);
    await state(page, 1, 'free');
    await fits(page, name);
    await accessible(page, name);
    await picture(page, `free-${name.replace(' ', '-')}`);
    await page.emulateMedia({ colorScheme: 'dark' });
    await accessible(page, `${name} by night`);
    await picture(page, `night-${name.replace(' ', '-')}`);
    await close(page);
  }
  const page = await open('/en');
  for (const [language, free] of Object.entries({
    Deutsch: 'Frei', Français: 'Libre', Español: 'Libre', Italiano: 'Libero', Nederlands: 'Vrij', Polski: 'Wolny', 中文: '空闲', English: 'Free',
  })) {
    await page.getByRole('navigation').getByRole('link', { name: language }).click();
    await page.locator('[data-evse="1"] .state', { hasText: free }).waitFor();
    assert.equal(await page.getByRole('navigation').locator('[aria-current]').innerText(), language);
    assert.equal(await page.locator('html').getAttribute('lang'), (new URL(page.url())).pathname.slice(1));
    await fits(page, language);
    await accessible(page, language);
  }
  await page.getByRole('button', { name: 'Day or night' }).click();
  assert.equal(await page.locator('html').getAttribute('data-theme'), 'night');
  await accessible(page, 'switched to night');
  await close(page);
});

test('the screen outlives every daemon, its own included, and says when it knows nothing', { timeout: 4 * patience }, async () => {
  const page = await open();
  await state(page, 1, 'free');
  await page.getByRole('button', { name: 'Day or night' }).focus();
  for (const daemon of ['station', 'evse-1', 'ui', 'bus']) {
    await page.evaluate(() => {
      window.lost = false;
      const offline = document.querySelector('#offline');
      new MutationObserver(() => { window.lost ||= !offline.hidden || !document.querySelector('[data-evse="1"][data-state="state-free"]'); })
        .observe(document.body, { subtree: true, childList: true, attributes: true });
    });
    await station.say(`kill ${daemon}`);
    await page.waitForFunction(() => window.lost);
    if (daemon === 'ui') await page.locator('#offline').waitFor({ state: 'hidden' });
    await state(page, 1, 'free');
    await page.locator('#offline').waitFor({ state: 'hidden' });
  }
  assert.equal(await page.evaluate(() => document.activeElement.id), 'contrast', 'the focus stayed where it was');
  await close(page);
});

test('without a script the page still shows the state, and follows by itself', { timeout: patience }, async () => {
  const page = await open('/en', { javaScriptEnabled: false });
  await state(page, 1, 'free');
  await page.context().close();
});

test('fifty screens at once are served, and see the same', { timeout: 2 * patience }, async () => {
  const plain = await Promise.all(Array.from({ length: 50 }, () => fetch(`${station.url}/events?language=en`)));
  const saw = plain.map(async (answer) => {
    let text = '';
    for await (const part of answer.body) {
      text += Buffer.from(part).toString();
      if (/data-evse="1" data-state="state-(preparing|authorize)"/.test(text)) return true;
    }
    return false;
  });
  await station.say('plug 1');
  assert.deepEqual(await Promise.all(saw), Array(50).fill(true));
  await station.say('unplug 1');
});
