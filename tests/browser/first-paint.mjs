// How long the page at this address takes to its first paint in a browser that is open already, in milliseconds: the
// median of so many visits. For `make bench`.
import { browse } from './station.mjs';

const [url, visits] = process.argv.slice(2);
const browser = await browse();
const paints = [];
for (let visit = 0; visit < Number(visits); visit += 1) {
  const page = await (await browser.newContext()).newPage();
  await page.goto(url);
  paints.push(await page.evaluate(() => new Promise((done) => {
    new PerformanceObserver((list) => done(list.getEntries()[0].startTime)).observe({ type: 'paint', buffered: true });
  })));
  await page.context().close();
}
await browser.close();
console.log(paints.sort((one, other) => one - other)[paints.length >> 1]);
