/// How the demo's page looks: light and dark as the reader's system has it, one column on a telephone.
enum DemoStyle {
    static let css = """
        :root {
          color-scheme: light dark;
          --page: light-dark(#f6f5f2, #141518); --card: light-dark(#fff, #1d1f24); --ink: light-dark(#1b1c1f, #ececee);
          --quiet: light-dark(#62656d, #9b9fa9); --line: light-dark(#e3e1db, #30333b); --stage: light-dark(#ebe9e4, #0d0e10);
          --good: light-dark(#157f3c, #5bd088); --bad: light-dark(#b42318, #ff8a7d);
        }
        * { box-sizing: border-box; }
        body { margin: 0 auto; max-width: 1240px; padding: 2rem clamp(1rem, 3vw, 2.5rem); background: var(--page);
          color: var(--ink); font: 16px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; }
        header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem 1.2rem; margin-bottom: 1.5rem; }
        header p { margin: 0; color: var(--quiet); }
        header p b { color: var(--ink); }
        header .score { margin-left: auto; font-size: 1.15rem; }
        h1 { margin: 0; font-size: 1.7rem; letter-spacing: -.02em; }
        main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 265px), 1fr)); gap: 1.1rem; }
        article { display: flex; flex-direction: column; overflow: hidden; background: var(--card);
          border: 1px solid var(--line); border-radius: 12px; }
        .stage { display: flex; align-items: center; justify-content: center; height: 264px; padding: 12px;
          background: var(--stage); }
        .picture { position: relative; width: min(100%, calc(240px * var(--w) / var(--h)));
          aspect-ratio: var(--w) / var(--h); }
        .picture img { display: block; width: 100%; height: 100%; border-radius: 3px; }
        .picture svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
        rect { fill: none; vector-effect: non-scaling-stroke; }
        .found { stroke-width: 2.5; }
        .truth-edge { stroke: #fff; stroke-width: 1.5; }
        .truth { stroke: #000; stroke-width: 1.5; stroke-dasharray: 4 4; }
        .words { display: flex; flex-direction: column; flex: 1; padding: .9rem 1.1rem 1rem; }
        .tags { display: flex; justify-content: space-between; margin: 0 0 .35rem; font-size: .8rem; }
        .task { color: var(--quiet); text-transform: uppercase; letter-spacing: .06em; font-size: .72rem; line-height: 1.7; }
        .mark { font-weight: 600; }
        .mark.right { color: var(--good); }
        .mark.wrong { color: var(--bad); }
        h2 { margin: 0 0 .6rem; font-size: 1rem; font-weight: 600; line-height: 1.4; overflow-wrap: anywhere; }
        dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem .8rem; margin: 0; font-size: .94rem; }
        dt { color: var(--quiet); }
        dd { margin: 0; overflow-wrap: anywhere; white-space: pre-line; }
        .wrong .answer { color: var(--bad); }
        ul { margin: 0; padding: 0; list-style: none; }
        .many { display: flex; flex-wrap: wrap; gap: .1rem .9rem; font-size: .9rem; }
        li { white-space: nowrap; }
        li code { display: block; }
        .swatch { display: inline-block; width: .7em; height: .7em; margin-right: .4em; border-radius: 2px; }
        code { font: .85em ui-monospace, "DejaVu Sans Mono", monospace; color: var(--quiet); }
        footer { margin-top: 1.6rem; color: var(--quiet); font-size: .86rem; }
        footer b { color: var(--ink); }
        """
}
