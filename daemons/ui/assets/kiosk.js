// Follows the station: the server sends the middle of the page whenever it changes, and what differs is put in,
// so that focus stays where it is and a screen reader reads only what is new.
'use strict';
(() => {
  const body = document.body;
  const board = document.querySelector('main');
  const offline = document.querySelector('#offline');
  const root = document.documentElement;

  // Makes `now` what `next` is.
  const follow = (now, next) => {
    for (const { name } of [...now.attributes]) {
      // What somebody opened stays open.
      if (!next.hasAttribute(name) && !(name === 'open' && now.nodeName === 'DETAILS')) now.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    const wanted = [...next.childNodes];
    wanted.forEach((child, at) => {
      const there = now.childNodes[at];
      if (!there) now.append(child.cloneNode(true));
      else if (there.nodeType === 1 && child.nodeType === 1 && there.nodeName === child.nodeName) follow(there, child);
      else if (there.nodeType === 3 && child.nodeType === 3) {
        if (there.data !== child.data) there.data = child.data;
      } else there.replaceWith(child.cloneNode(true));
    });
    while (now.childNodes.length > wanted.length) now.lastChild.remove();
  };

  // Without a sign of life for so long the connection is dead; the server gives one every 5 s.
  const silence = 15000;
  let source, dead;
  const alive = () => {
    offline.hidden = true;
    clearTimeout(dead);
    dead = setTimeout(lost, silence);
  };
  const lost = () => {
    offline.hidden = false;
    source.close();
    clearTimeout(dead);
    dead = setTimeout(connect, 1000);
  };
  const connect = () => {
    source = new EventSource(body.dataset.events);
    source.addEventListener('version', (event) => {
      if (event.data !== body.dataset.version) location.reload();
      alive();
    });
    source.addEventListener('alive', alive);
    // Whoever was logged in is not any more.
    source.addEventListener('over', () => location.reload());
    source.addEventListener('board', (event) => {
      alive();
      const next = new DOMParser().parseFromString(event.data, 'text/html').querySelector('main');
      follow(board, next);
    });
    source.onerror = lost;
  };
  if (body.dataset.events) connect();

  // Whoever comes next finds the first language again, and no question that somebody else left open.
  const patience = 90000;
  let idle;
  const touched = () => {
    clearTimeout(idle);
    if (body.dataset.home && location.pathname + location.search !== body.dataset.home) {
      idle = setTimeout(() => location.assign(body.dataset.home), patience);
    }
  };
  for (const kind of ['pointerdown', 'keydown']) addEventListener(kind, touched, { passive: true });
  touched();

  // The keys of the page where a code is typed.
  const code = document.querySelector('#code');
  const keys = document.querySelector('#keys');
  if (code && keys) {
    keys.hidden = false;
    for (const key of keys.querySelectorAll('[data-key]')) {
      key.addEventListener('click', () => {
        code.value = key.dataset.key ? (code.value + key.dataset.key).slice(0, code.maxLength) : code.value.slice(0, -1);
      });
    }
  }

  const contrast = document.querySelector('#contrast');
  const dark = () => root.dataset.theme ? root.dataset.theme === 'night' : matchMedia('(prefers-color-scheme: dark)').matches;
  if (!contrast) return;
  const chosen = sessionStorage.getItem('theme');
  if (chosen) root.dataset.theme = chosen;
  contrast.hidden = false;
  contrast.addEventListener('click', () => {
    root.dataset.theme = dark() ? 'day' : 'night';
    sessionStorage.setItem('theme', root.dataset.theme);
  });
})();
