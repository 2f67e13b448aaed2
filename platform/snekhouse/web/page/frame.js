var a=`
  :root { font: 14px/1.45 system-ui, sans-serif; }
  body { display: flow-root; margin: 0; padding: 1px; overflow-wrap: anywhere; }
  img { display: block; max-width: 100%; }
  table { border-collapse: collapse; font-size: 13px; }
  th, td { border: 1px solid color-mix(in srgb, currentColor 22%, transparent); padding: 3px 8px; text-align: right; }
`;function l(e,n){let t=document.createElement("style");t.textContent=a,document.head.append(t),document.documentElement.style.colorScheme=n;let o=document.createElement("template");o.innerHTML=e;for(let r of o.content.querySelectorAll("meta, link, base"))r.remove();document.body.replaceChildren(o.content);let s=()=>parent.postMessage({height:Math.ceil(document.body.getBoundingClientRect().height)},"*");new ResizeObserver(s).observe(document.body),s()}addEventListener("message",e=>{let{html:n,scheme:t}=e.data;e.source===parent&&l(n,t)});
