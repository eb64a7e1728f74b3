// Draws each chart from the table that stands beside it, with the colours of the page. Without this script the table is there.
(() => {
  const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const short = new Intl.NumberFormat('en', { notation: 'compact' });
  const whole = (value) =>
    value === null || value === undefined ? '' : Math.round(value).toLocaleString('en-US');
  const HEIGHT = 260;

  function read(figure) {
    const heads = [...figure.querySelectorAll('thead th')].slice(1);
    const rows = [...figure.querySelectorAll('tbody tr')];
    return {
      first: figure.querySelector('thead th').textContent,
      labels: rows.map((row) => row.querySelector('th').textContent),
      columns: heads.map((head, index) => ({
        name: head.textContent,
        kind: head.dataset.kind,
        colour: head.dataset.colour,
        values: rows.map((row) => {
          const value = row.querySelectorAll('td')[index].dataset.v;
          return value === undefined ? null : Number(value);
        }),
      })),
    };
  }

  function powersUpTo(most) {
    const powers = [1];
    while (powers.at(-1) < most) powers.push(powers.at(-1) * 10);
    return powers;
  }

  function draw(figure) {
    const place = figure.querySelector('.plot');
    const { first, labels, columns } = read(figure);
    place.replaceChildren();
    if (labels.length === 0) return;
    // A logarithmic scale has no zero.
    const isLog = 'log' in figure.dataset && columns.some(({ values }) => values.some((value) => value > 0));
    const all = columns
      .flatMap(({ values }) => values)
      .filter((value) => value !== null && (!isLog || value > 0));
    const most = Math.max(1, ...all);
    const axis = {
      stroke: styleOf('faint'),
      grid: { stroke: styleOf('line'), width: 1 },
      ticks: { stroke: styleOf('line') },
    };
    const options = {
      width: Math.max(240, place.clientWidth),
      height: HEIGHT,
      scales: {
        x: { time: false, range: [-0.6, labels.length - 0.4] },
        y: isLog ? { distr: 3, range: [1, powersUpTo(most).at(-1)] } : { range: [0, most * 1.08] },
      },
      axes: [
        {
          ...axis,
          values: (_, splits) =>
            splits.map((at) => (Number.isInteger(at) ? (labels[at] ?? '').replace(/ \(.*/, '') : '')),
          space: 90,
          incrs: [1, 2, 5, 10, 20, 50],
        },
        {
          ...axis,
          size: 58,
          // One line for each power of ten: between them a logarithm tells nobody anything.
          ...(isLog ? { splits: () => powersUpTo(most) } : {}),
          values: (_, splits) => splits.map((at) => (at === null ? '' : short.format(at))),
        },
      ],
      series: [
        { label: first, value: (_, at) => labels[at] ?? '' },
        ...columns.map(({ name, kind, colour }) => ({
          label: name,
          stroke: styleOf(colour),
          width: 2,
          spanGaps: false,
          value: (_, value) => whole(value),
          ...(kind === 'bars'
            ? { fill: styleOf(colour), paths: uPlot.paths.bars({ size: [0.6, 40] }), points: { show: false } }
            : { points: { show: labels.length <= 20, size: 5, fill: styleOf(colour) } }),
        })),
      ],
    };
    // Bars first, so that lines stand before them.
    const order = columns
      .map((_, index) => index)
      .sort((a, b) => (columns[a].kind === 'bars' ? -1 : 0) - (columns[b].kind === 'bars' ? -1 : 0));
    options.series = [options.series[0], ...order.map((index) => options.series[index + 1])];
    const data = [
      labels.map((_, index) => index),
      ...order.map((index) => columns[index].values.map((value) => (isLog && value === 0 ? null : value))),
    ];
    new uPlot(options, data, place);
  }

  const figures = [...document.querySelectorAll('[data-chart]')];
  const drawAll = () => figures.forEach(draw);
  drawAll();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  let timer;
  let width = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(timer);
    timer = setTimeout(drawAll, 150);
  });
})();
