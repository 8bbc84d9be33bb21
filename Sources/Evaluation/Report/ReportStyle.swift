/// How the page of `omma report` looks and moves; all of it is in the page.
enum ReportStyle {
    /// Colours that lines take in turn.
    static let colors = 8

    static let css = """
        :root { color-scheme: light dark; --page: #f4f5f7; --card: #fff; --ink: #1c2129; --faint: #5f6876;
          --line: #dde1e7; --good: #15803d; --bad: #b42318;
          --c0: #2563c9; --c1: #c2410c; --c2: #15803d; --c3: #8b35c7; --c4: #be123c; --c5: #0e7490; --c6: #946200;
          --c7: #4f46e5; }
        @media (prefers-color-scheme: dark) { :root { --page: #14171c; --card: #1d2128; --ink: #e7eaef;
          --faint: #9aa3b1; --line: #343b46; --good: #4ade80; --bad: #f97066;
          --c0: #6ea8ff; --c1: #fb923c; --c2: #4ade80; --c3: #c58bff; --c4: #fb7185; --c5: #38cfe6; --c6: #eab308;
          --c7: #9a96ff; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--page); color: var(--ink);
          font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", "Noto Sans CJK SC", sans-serif; }
        header, main, footer { max-width: 1360px; margin: 0 auto; padding: 0 clamp(12px, 3vw, 32px); }
        header { padding-top: 28px; }
        h1 { font-size: clamp(22px, 4vw, 30px); margin: 0; line-height: 1.2; overflow-wrap: anywhere; }
        header p, footer { color: var(--faint); margin: 4px 0 0; }
        h2 { font-size: 19px; margin: 36px 0 12px; }
        h3 { font-size: 15px; margin: 0 0 8px; overflow-wrap: anywhere; }
        footer { padding-top: 32px; padding-bottom: 32px; font-size: 13px; }
        .grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); }
        .runs { grid-template-columns: repeat(auto-fill, minmax(min(100%, 290px), 1fr)); }
        .card, figure.chart { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
          padding: 16px; margin: 0; min-width: 0; }
        .name::before { content: ""; display: inline-block; width: .8em; height: .8em; border-radius: 3px;
          background: var(--c); margin-right: .5em; }
        dl { margin: 0; } dl div { display: flex; justify-content: space-between; gap: 4px 16px; padding: 1px 0; }
        dt { color: var(--faint); flex: none; max-width: 60%; }
        dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; min-width: 0; }
        .glance dl { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(min(47%, 170px), 1fr)); }
        .glance dl div { display: block; } .glance dt { max-width: none; font-size: 13px; }
        .glance dd { text-align: left; font-size: 19px; font-weight: 600; }
        dl.facts div { display: grid; grid-template-columns: 130px 1fr; }
        dl.facts dd { text-align: left; }
        figcaption { font-weight: 600; margin-bottom: 10px; } figcaption small { color: var(--faint); font-weight: 400; }
        .plot { position: relative; height: 220px; margin: 8px 10px 26px 46px; touch-action: pan-y; }
        .plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
        .plot svg * { vector-effect: non-scaling-stroke; fill: none; }
        .plot .rule { stroke: var(--line); } .plot .mark { stroke: var(--faint); stroke-dasharray: 2 4; }
        polyline { stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
        polyline.faint { stroke-width: 1; opacity: .3; } polyline.dashed { stroke-dasharray: 6 4; }
        .dot { position: absolute; width: 7px; height: 7px; margin: -3.5px; border-radius: 50%; background: var(--c); }
        .plot .y, .plot .x, .plot .stage { position: absolute; font-size: 12px; line-height: 1; color: var(--faint);
          white-space: nowrap; font-variant-numeric: tabular-nums; }
        .plot .y { right: calc(100% + 8px); transform: translateY(-50%); }
        .plot .x { top: calc(100% + 8px); transform: translateX(-50%); }
        .plot .stage { top: -14px; transform: translateX(4px); max-width: 45%; overflow: hidden; }
        .legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 0; padding: 0; font-size: 13px; }
        .legend li { overflow-wrap: anywhere; }
        .legend li::before { content: ""; display: inline-block; width: 18px; border-top: 3px solid var(--c);
          margin-right: 6px; vertical-align: middle; }
        .legend li.dashed::before { border-top-style: dashed; }
        .hair { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--faint); }
        .tip { position: absolute; top: 4px; z-index: 1; background: var(--card); border: 1px solid var(--line);
          border-radius: 8px; padding: 6px 10px; font-size: 12.5px; pointer-events: none; white-space: nowrap;
          box-shadow: 0 2px 10px #0003; font-variant-numeric: tabular-nums; }
        .tip b { display: block; } .tip i { display: inline-block; width: .7em; height: .7em; border-radius: 2px;
          background: var(--c); margin-right: .5em; }
        .bars p { margin: 0 0 4px; overflow-wrap: anywhere; } .bars .track { margin-bottom: 12px; }
        .bars .track:last-child { margin-bottom: 2px; }
        .bar { height: 12px; border-radius: 6px; background: var(--c); min-width: 3px; }
        .track { background: var(--line); border-radius: 6px; }
        .question { display: grid; align-content: start; grid-template-columns: minmax(0, 132px) 1fr; gap: 14px; }
        .question img { display: block; max-width: 100%; max-height: 180px; border-radius: 6px; margin-bottom: 6px; }
        .question.words { grid-template-columns: 1fr; }
        .question p.name { margin-top: 10px; } .question p { margin: 0 0 6px; overflow-wrap: anywhere; white-space: pre-wrap; }
        .answers { border-collapse: collapse; width: 100%; font-size: 14px; }
        .answers td { padding: 3px 8px 3px 0; vertical-align: top; border-top: 1px solid var(--line);
          overflow-wrap: anywhere; white-space: pre-wrap; }
        .answers td:first-child { color: var(--faint); white-space: nowrap; width: 1%; padding-right: 16px; font-variant-numeric: tabular-nums; }
        .right { color: var(--good); }
        .label { color: var(--faint); font-size: 13px; }
        .scroll { overflow-x: auto; }
        table.list { border-collapse: collapse; width: 100%; font-size: 14px; }
        .list th { text-align: left; color: var(--faint); font-weight: 500; }
        .list th, .list td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top;
          overflow-wrap: anywhere; }
        .list td:first-child { white-space: nowrap; font-variant-numeric: tabular-nums; }
        details { margin-top: 10px; } summary { cursor: pointer; color: var(--faint); }
        pre { overflow-x: auto; background: var(--page); border-radius: 8px; padding: 12px; font-size: 13px; line-height: 1.45;
          margin: 8px 0 0; }
        pre .plus { color: var(--good); } pre .minus { color: var(--bad); }
        """ + (0..<colors).map { "\n.c\($0) { --c: var(--c\($0)); }" }.joined()

    /// Shows the values under the pointer. Without it the page is whole, too.
    static let script = """
        for (const figure of document.querySelectorAll("figure.chart")) {
          const plot = figure.querySelector(".plot"), hair = plot.querySelector(".hair"), tip = plot.querySelector(".tip");
          const data = JSON.parse(figure.querySelector("script").textContent);
          const classes = [...figure.querySelectorAll("polyline:not(.faint)")].map(line => line.getAttribute("class"));
          plot.addEventListener("pointermove", event => {
            const box = plot.getBoundingClientRect();
            const at = data.from + (event.clientX - box.left) / box.width * (data.to - data.from);
            let step = null;
            const rows = data.lines.map((line, index) => {
              let best = 0;
              for (let i = 1; i < line.x.length; i++)
                if (Math.abs(line.x[i] - at) < Math.abs(line.x[best] - at)) best = i;
              if (step === null || Math.abs(line.x[best] - at) < Math.abs(step - at)) step = line.x[best];
              return [classes[index], line.label, line.y[best]];
            });
            tip.replaceChildren();
            const head = document.createElement("b");
            head.textContent = "step " + step;
            tip.append(head);
            for (const [style, label, value] of rows) {
              const row = document.createElement("div"), swatch = document.createElement("i");
              swatch.className = style || "";
              row.append(swatch, rows.length > 1 ? label + "  " + value : value);
              tip.append(row);
            }
            const left = (step - data.from) / (data.to - data.from) * box.width;
            hair.style.left = left + "px";
            hair.hidden = tip.hidden = false;
            tip.style.left = left > box.width / 2 ? "auto" : left + 10 + "px";
            tip.style.right = left > box.width / 2 ? box.width - left + 10 + "px" : "auto";
          });
          plot.addEventListener("pointerleave", () => { hair.hidden = tip.hidden = true; });
        }
        """
}
