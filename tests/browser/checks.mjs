// What holds of every page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { patience } from './station.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** A page of its own, on which the policy may have nothing to refuse and no script may fail. */
export const open = async (browser, url, { width = 1280, height = 800, ...options } = {}) => {
  const context = await browser.newContext({ viewport: { width, height }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(`${error}`));
  page.on('console', (message) => {
    // A daemon that is away is no error of the page.
    if (message.type() === 'error' && !/ERR_|Failed to load resource/.test(message.text())) page.complaints.push(message.text());
  });
  await page.goto(url);
  return page;
};

export const close = async (page) => {
  assert.deepEqual(page.complaints, []);
  await page.context().close();
};

/** WCAG 2.2 AA, as far as a program can tell. */
export const accessible = async (page, where) => {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`);
  assert.deepEqual(told, [], where);
};

