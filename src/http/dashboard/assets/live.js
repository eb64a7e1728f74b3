// What moves on a page: cells of IPs, renewed as the server tells. Without this script the page is as new as its load.
(() => {
  const shown = [...document.querySelectorAll('[data-ip]')];
  const note = document.querySelector('[data-live]');
  if (shown.length === 0 || !note || !window.EventSource) return;

  const say = (text, isOn) => {
    note.hidden = false;
    note.classList.toggle('on', isOn);
    // Told once, and not with each look.
    if (note.textContent !== text) note.textContent = text;
  };

  const ids = [...new Set(shown.map((one) => one.dataset.ip))];
  const source = new EventSource(`/live?ips=${ids.join(',')}`);
  say('Connecting…', false);
  source.onopen = () => say('Live', true);
  source.onerror = () =>
    say(
      source.readyState === EventSource.CLOSED
        ? 'Not live: reload the page to see what is new.'
        : 'The connection is lost; trying again…',
      false,
    );
  source.addEventListener('out', () => say('Redis does not answer; what is shown may be old.', false));
  source.addEventListener('over', () => {
    source.close();
    say('The session is over: sign in again.', false);
  });
  source.addEventListener('ip', ({ data }) => {
    say('Live', true);
    const { id, cells } = JSON.parse(data);
    for (const one of shown.filter((row) => row.dataset.ip === id)) {
      for (const [name, html] of Object.entries(cells)) {
        const cell = one.querySelector(`[data-cell="${name}"]`);
        // Made by the server's own templates, which escape what they are given.
        if (cell && cell.innerHTML !== html) renew(cell, html);
      }
    }
  });

  /** A bar that is there already keeps its place and moves. */
  function renew(cell, html) {
    const fresh = document.createElement('template');
    fresh.innerHTML = html;
    const [before, after] = [cell.querySelector('svg.bar'), fresh.content.querySelector('svg.bar')];
    if (before && after) {
      before.setAttribute('class', after.getAttribute('class'));
      before.querySelector('.fill').setAttribute('width', after.querySelector('.fill').getAttribute('width'));
      after.replaceWith(before);
    }
    cell.replaceChildren(fresh.content);
  }

  addEventListener('pagehide', () => source.close());
})();
