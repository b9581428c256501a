//! The page's looks: light and dark, on paper too.

pub(super) const CSS: &str = "
:root{--ground:#fff;--card:#f6f7f9;--text:#1c212b;--dim:#555d6c;--line:#d3d8e0;--good:#1a6b35;--bad:#b01f18;--warn:#7d5600;--info:#175f94;--link:#175f94;
--bar-good:#3f9a5c;--bar-bad:#cf4a42;--bar-warn:#c79422;--bar-info:#3f8cc4;--bar-dim:#8b94a3}
@media(prefers-color-scheme:dark){:root{--ground:#14171c;--card:#1c2027;--text:#e6e9ee;--dim:#a7afbc;--line:#353c48;--good:#74d188;--bad:#ff928a;--warn:#e8c664;--info:#82bdff;--link:#82bdff;
--bar-good:#4aa467;--bar-bad:#d8584f;--bar-warn:#c9982c;--bar-info:#4b93c9;--bar-dim:#7a8393}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem;background:var(--ground);color:var(--text);font:15px/1.5 ui-sans-serif,system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
h1{margin:0;font-size:1.6rem;line-height:1.25}h2{margin:2.2rem 0 .6rem;font-size:1.2rem;border-bottom:1px solid var(--line);padding-bottom:.25rem}h3{margin:1rem 0 .3rem;font-size:1rem}
p{margin:.3rem 0}a{color:var(--link)}code,pre,.path{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:.86em;overflow-wrap:anywhere}
.kind{margin:0;color:var(--dim)}.state{display:inline-block;margin:.5rem 0;padding:.1rem .7rem;border:1.5px solid currentColor;border-radius:1rem;font-weight:700}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}.info{color:var(--info)}.dim{color:var(--dim)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;margin:.6rem 0}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
nav a{margin-right:1rem}
.trouble{margin-top:1.5rem;padding:.2rem 1rem .8rem;border:1px solid var(--bad);border-left-width:6px;border-radius:6px;background:var(--card)}.trouble h2{margin-top:.6rem;border:0}
.wide{overflow-x:auto}table{width:100%;border-collapse:collapse}th{text-align:left;color:var(--dim);font-weight:600;font-size:.85rem}th,td{padding:.3rem .6rem;vertical-align:top;border-top:1px solid var(--line)}
td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}td.w{white-space:nowrap}tr.more td{border-top:0;padding-top:0}tr:target{outline:2px solid var(--link)}
details{margin:.1rem 0}summary{cursor:pointer;color:var(--dim)}pre{margin:.4rem 0;padding:.6rem .8rem;background:var(--card);border:1px solid var(--line);border-radius:5px;white-space:pre-wrap}
.small{font-size:.88rem;color:var(--dim)}ul{margin:.2rem 0;padding-left:1.3rem}
svg{display:block;width:100%;height:auto}svg text{font:11px ui-sans-serif,system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--text)}svg .t{fill:var(--dim)}
svg .grid{stroke:var(--line);stroke-width:1}svg .b-good{fill:var(--bar-good)}svg .b-bad{fill:var(--bar-bad)}svg .b-warn{fill:var(--bar-warn)}svg .b-info{fill:var(--bar-info)}svg .b-dim{fill:var(--bar-dim)}
svg .wait{fill:none;stroke:var(--bar-warn);stroke-width:1.6;stroke-dasharray:5 3}
@media print{body{max-width:none;padding:0;font-size:10.5pt}nav{display:none}tr,svg{break-inside:avoid}h2,h3{break-after:avoid}details::details-content{content-visibility:visible;height:auto}pre{border-color:#bbb}}
";
