//! What filters, proxies and portals on our side of the internet show.
//!
//! Rows marked "(documented)" come from the maker's documentation or from the public lists of OONI
//! <https://github.com/ooni/blocking-fingerprints> and Citizen Lab; the others were seen in captured answers. A
//! filter between us and the partner is ours to mend, so these rows are asked first.

use super::super::Sign::{
    AnyBody, Body, Bytes, Has, Header, Is, NoHeader, NotBody, Starts, Status, Test, Title,
};
use super::super::{Signature, filter, header, page, shape};
use super::read;

/// Filters, proxies and portals on our side of the internet.
pub(super) const OUR_SIDE: &[Signature] = &[
    header(
        "egress_proxy",
        "a policy proxy of our network refuses",
        &[Header("x-deny-reason"), Status(&[403, 407, 451, 502, 503])],
    )
    .ours(),
    header(
        "squid",
        "a Squid proxy on our side answered",
        &[Header("x-squid-error")],
    )
    .ours()
    .statuses(400, 599)
    .read(read::squid),
    page(
        "squid",
        "a Squid proxy on our side answered",
        &[
            Title("ERROR: The requested URL could not be retrieved"),
            Body("squid"),
        ],
    )
    .ours()
    .read(read::squid),
    header(
        "zscaler",
        "the Zscaler gateway of our network refuses",
        &[Starts("server", "zscaler")],
    )
    .ours()
    .statuses(300, 599),
    header(
        "zscaler",
        "redirected to the Zscaler gateway of our network",
        &[Has("location", "//gateway.zscaler")],
    )
    .ours()
    .statuses(300, 399),
    page(
        "zscaler",
        "the Zscaler gateway of our network refuses",
        &[Title("Internet Security by Zscaler")],
    )
    .ours()
    .any_status(),
    page(
        "fortiguard",
        "the FortiGuard web filter of our network refuses",
        &[
            AnyBody(&[
                "fortiguard web filtering",
                "web filter block override",
                "web filter violation",
                "fortiguard intrusion prevention",
            ]),
            AnyBody(&[
                "fgd_icon",
                "powered by fortinet",
                "fortinet",
                "fortiguard.com",
            ]),
        ],
    )
    .ours()
    .any_status(),
    header(
        "paloalto",
        "redirected to the block page of a Palo Alto firewall on our side (listed)",
        &[Has("location", "/php/urlblock.php")],
    )
    .ours()
    .statuses(300, 399),
    page(
        "paloalto",
        "a Palo Alto firewall of our network refuses",
        &[
            Title("Web Page Blocked"),
            AnyBody(&["company policy", "category:", "has been blocked"]),
            NotBody("attack id"),
            NotBody("fgd_icon"),
        ],
    )
    .ours()
    .read(read::paloalto),
    page(
        "paloalto",
        "a Palo Alto firewall of our network refuses",
        &[
            Is("p3p", "CP=\"CAO PSA OUR\""),
            NoHeader("server"),
            Status(&[503]),
        ],
    )
    .ours()
    .strong()
    .read(read::paloalto),
    header(
        "akamai",
        "redirected to the Akamai filter of our network (listed)",
        &[Has("location", "//error.etp.akamai.com")],
    )
    .ours()
    .statuses(300, 399),
    page(
        "cloudflare",
        "the Cloudflare Gateway filter of our network refuses",
        &[AnyBody(&[
            "blocked by cloudflare gateway",
            "cloudflare gateway</",
        ])],
    )
    .ours(),
    header(
        "cisco_umbrella",
        "redirected to the Cisco Umbrella filter of our network (listed)",
        &[Has("location", ".opendns.com/")],
    )
    .ours()
    .statuses(300, 399),
    header(
        "captive_portal",
        "the network asks for its own log-in (RFC 6585 section 6)",
        &[Status(&[511])],
    )
    .ours(),
    header(
        "captive_portal",
        "redirected to a portal of our network",
        &[Test(
            "the Location is the address of a portal",
            read::captive_portal,
        )],
    )
    .ours()
    .strong()
    .statuses(300, 399),
    page(
        "captive_portal",
        "a portal of our network in place of the answer",
        &[
            AnyBody(&["wifi", "wi-fi", "wlan", "hotspot"]),
            Test(
                "its form goes to an address of a private network",
                read::portal_form,
            ),
        ],
    )
    .ours()
    .strong()
    .any_status(),
    shape(
        "unknown_middlebox",
        "a notice of a network on the way",
        &[Starts("server", "adm/"), Status(&[403, 451])],
    )
    .ours()
    .strong()
    .of_structure(),
    page(
        "unknown_middlebox",
        "a national block notice (listed)",
        &[
            AnyBody(&[
                "src=\"http://10.10.34.3",
                "//warning.or.kr",
                "//lawfilter.ertelecom.ru",
            ]),
            Bytes(8192),
        ],
    )
    .ours()
    .any_status()
    .strong(),
    // Cisco. <https://docs.umbrella.com/deployment-umbrella/docs/manage-block-pages>; Meraki's page by its community's copies.
    filter(
        "cisco_umbrella",
        "the Cisco Umbrella filter of our network refuses",
        &[AnyBody(&[
            "block.opendns.com",
            "opendns.com/contact-netadmin",
            "cisco umbrella policy",
            "hit-block.opendns.com",
            "this site is blocked due to content filtering",
            "this domain is blocked due to content filtering",
            "blocked.umbrella.com",
        ])],
    ),
    header(
        "cisco_umbrella",
        "redirected to the Cisco Umbrella filter of our network (documented)",
        &[Has("location", ".umbrella.com/")],
    )
    .ours()
    .statuses(300, 399),
    filter(
        "cisco_meraki",
        "the Cisco Meraki firewall of our network refuses",
        &[AnyBody(&[
            "this website is blocked by your network operator",
            "meraki.com:8090/blocked.cgi",
        ])],
    ),
    header(
        "cisco_meraki",
        "redirected to the Cisco Meraki firewall of our network (documented)",
        &[Has("location", "meraki.com:8090/")],
    )
    .ours()
    .statuses(300, 399),
    header(
        "cisco_wsa",
        "the Cisco web appliance of our network refuses (documented)",
        &[Has("via", "cisco-wsa"), Status(&[403, 407])],
    )
    .ours(),
    filter(
        "cisco_wsa",
        "the Cisco web appliance of our network refuses (documented)",
        &[AnyBody(&[
            "notification: web_block",
            "<title>notification: policy",
            "based on your organization's access policies",
            "based on your organization&#39;s access policies",
            "based on your corporate access policies",
        ])],
    ),
    header(
        "cisco_cws",
        "redirected to the Cisco web security of our network (documented)",
        &[Has("location", "alert.scansafe.net/")],
    )
    .ours()
    .statuses(300, 399),
    // SonicWall, Sophos, Check Point, WatchGuard, Barracuda, Juniper, Kerio, Untangle: block pages as their manuals show them.
    header(
        "sonicwall",
        "the SonicWall firewall of our network refuses",
        &[Is("server", "sonicwall"), Status(&[200, 302, 403, 503])],
    )
    .ours()
    .read(read::filter_refuses),
    filter(
        "sonicwall",
        "the SonicWall firewall of our network refuses",
        &[
            AnyBody(&[
                "nsa_banner",
                "cfssupport.sonicwall.com",
                "sonicwall gateway",
                "this site has been blocked by the network administrator",
            ]),
            AnyBody(&[
                "siteblocked",
                "sonicwall",
                "blocked by the network administrator",
            ]),
        ],
    ),
    filter(
        "sophos",
        "the Sophos filter of our network refuses (documented)",
        &[
            AnyBody(&[
                "powered by sophos",
                "powered by utm web protection",
                "sophos utm",
                "sophos web appliance",
                "sophos firewall",
                "sophos xg",
                "sophos endpoint",
                "sophosxg",
            ]),
            AnyBody(&["blocked", "denied", "not allowed", "restricted"]),
        ],
    ),
    filter(
        "checkpoint",
        "the Check Point gateway of our network refuses",
        &[AnyBody(&[
            "/usercheck/css/",
            "check point usercheck",
            "usercheck/portalmain",
            "/usercheck/js/",
        ])],
    )
    .wordy(),
    header(
        "checkpoint",
        "redirected to the Check Point gateway of our network (documented)",
        &[Has("location", "/usercheck/portalmain")],
    )
    .ours()
    .statuses(300, 399),
    header(
        "watchguard",
        "the WatchGuard firewall of our network refuses (documented)",
        &[Starts("server", "watchguard"), Status(&[403, 503])],
    )
    .ours(),
    filter(
        "watchguard",
        "the WatchGuard firewall of our network refuses (documented)",
        &[AnyBody(&[
            "request denied by watchguard",
            "blocked by watchguard",
            "watchguard webblocker",
        ])],
    ),
    filter(
        "barracuda",
        "the Barracuda filter of our network refuses (documented)",
        &[AnyBody(&[
            "barracuda web filter",
            "barracuda web security gateway",
            "barracuda nextgen firewall:",
            "barracuda cloudgen firewall:",
        ])],
    ),
    header(
        "barracuda",
        "the Barracuda firewall of our network refuses (listed)",
        &[Starts("server", "barracuda/ngfirewall")],
    )
    .ours(),
    filter(
        "juniper",
        "the Juniper filter of our network refuses (documented)",
        &[Body("juniper web filtering")],
    ),
    filter(
        "kerio",
        "the Kerio Control firewall of our network refuses (documented)",
        &[Body("blocked by kerio control")],
    ),
    header(
        "kerio",
        "the Kerio Control firewall of our network refuses (listed)",
        &[Starts("server", "kerio control"), Status(&[200, 302, 403])],
    )
    .ours()
    .read(read::filter_refuses),
    filter(
        "untangle",
        "the Untangle filter of our network refuses (documented)",
        &[AnyBody(&[
            "because it violates network policy",
            "untangle ng firewall",
            "untangle web filter",
        ])],
    ),
    header(
        "untangle",
        "redirected to the Untangle filter of our network (documented)",
        &[Has("location", "web-filter/blockpage?")],
    )
    .ours()
    .statuses(300, 399),
    filter(
        "fortinet",
        "the FortiGate firewall of our network refuses (documented)",
        &[
            AnyBody(&[
                "fortigate application control",
                "globalurl.fortinet.net",
                "in violation of your internet usage policy",
                "powered by fortiguard",
                "fortiguard web filter",
                "because the url is banned",
            ]),
            NotBody("attack id"),
        ],
    ),
    header(
        "fortinet",
        "redirected to the FortiGate firewall of our network (documented)",
        &[Has("location", ":8008/"), Has("location", "fgt")],
    )
    .ours()
    .statuses(300, 399),
    // Forcepoint (Websense), Blue Coat (Symantec, Broadcom), Skyhigh (McAfee), Netskope, Trend Micro, iboss, Menlo: gateways.
    filter(
        "forcepoint",
        "the Forcepoint filter of our network refuses (documented)",
        &[AnyBody(&[
            ":15871/cgi-bin/blockpage.cgi",
            ":15871/cgi-bin/block_message.cgi",
            "/cgi-bin/blockpage.cgi?ws-session",
            ":15871/cgi-bin/",
            "moreblockinfo.cgi?ws-session",
            "this websense category is filtered",
            "forcepoint dlp",
            "forcepoint web security",
            "forcepoint cloud",
            "forcepoint one",
            "websense content gateway",
            "blocked by websense",
            "mailcontrol.com/",
            "blackspider.com/",
        ])],
    ),
    header(
        "forcepoint",
        "redirected to the Forcepoint filter of our network (documented)",
        &[Has("location", ":15871/cgi-bin/")],
    )
    .ours()
    .statuses(300, 399),
    header(
        "forcepoint",
        "the Forcepoint filter of our network refuses (listed)",
        &[Has("via", "forcepoint"), Status(&[403, 407])],
    )
    .ours(),
    filter(
        "bluecoat",
        "the Blue Coat proxy of our network refuses (documented)",
        &[AnyBody(&[
            "notify.bluecoat.com",
            "(policy_denied)",
            "(content_filter_denied)",
            "content_filter_denied",
            "your system policy has denied access to the requested url",
            "because of its content categorization",
            "bluecoat.com/notify",
            "sitereview.bluecoat.com",
            "sitereview.symantec.com",
            "sitereview.norton.com",
            "blue coat systems",
            "threatpulse.net",
            "symantec web security service",
            "k9 web protection",
        ])],
    ),
    header(
        "bluecoat",
        "redirected to the Blue Coat proxy of our network (documented)",
        &[Has("location", "bluecoat.com/notify")],
    )
    .ours()
    .statuses(300, 399),
    header(
        "bluecoat",
        "redirected to the Blue Coat proxy of our network (documented)",
        &[Has("location", "notify.bluecoat.com")],
    )
    .ours()
    .statuses(300, 399),
    header(
        "bluecoat",
        "the Blue Coat proxy of our network refuses (listed)",
        &[Starts("server", "bluecoat-security-appliance")],
    )
    .ours(),
    header(
        "bluecoat",
        "the Blue Coat proxy of our network refuses (listed)",
        &[Header("x-bluecoat-via"), Status(&[403, 407])],
    )
    .ours()
    .strong(),
    filter(
        "skyhigh",
        "the Skyhigh (McAfee) web gateway of our network refuses",
        &[AnyBody(&[
            "/mwg-internal/",
            "mcafee web gateway",
            "skyhigh secure web gateway",
            "skyhigh security",
            "skyhigh web gateway",
            "saasprotection.com",
            "webwasher",
        ])],
    ),
    header(
        "skyhigh",
        "the Skyhigh (McAfee) web gateway of our network refuses (listed)",
        &[
            Has("via", "mcafee web gateway"),
            Status(&[403, 407, 502, 503]),
        ],
    )
    .ours(),
    filter(
        "netskope",
        "the Netskope gateway of our network refuses (documented)",
        &[AnyBody(&[
            ".goskope.com",
            "netskope cloud",
            "netskope security",
            "blocked by netskope",
            "netskope, inc",
            "netskope.com/notify",
            "ns_policy_name",
        ])],
    ),
    header(
        "netskope",
        "redirected to the Netskope gateway of our network (documented)",
        &[Has("location", ".goskope.com/")],
    )
    .ours()
    .statuses(300, 399),
    filter(
        "zscaler",
        "the Zscaler gateway of our network refuses",
        &[AnyBody(&[
            "zscaler to protect you from internet threats",
            "login.zscloud.net",
            "gateway.zscaler",
            "gateway.zscloud",
            "zscalertwo.net",
            "zscalerthree.net",
            "your organization has selected zscaler",
        ])],
    ),
    filter(
        "trend_micro",
        "the Trend Micro gateway of our network refuses (documented)",
        &[AnyBody(&[
            "interscan web security",
            "trend micro web security",
            "trend micro apex one",
            "trend micro web reputation",
            "iwsva",
            "tmws.trendmicro",
        ])],
    ),
    filter(
        "menlo",
        "the Menlo gateway of our network refuses (documented)",
        &[
            AnyBody(&["safe.menlosecurity.com", "menlo security"]),
            AnyBody(&["blocked", "denied"]),
        ],
    ),
    filter(
        "iboss",
        "the iboss filter of our network refuses (documented)",
        &[AnyBody(&[
            "/ibreports/ibp/",
            "iboss cloud",
            "access to the requested site has been restricted due to its contents",
            "iboss/restricted.html",
        ])],
    ),
    header(
        "iboss",
        "redirected to the iboss filter of our network (documented)",
        &[Has("location", "/ibreports/ibp/bp.html")],
    )
    .ours()
    .statuses(300, 399),
    header(
        "iboss",
        "redirected to the iboss filter of our network (documented)",
        &[Has("location", "/restricted.html?fn=")],
    )
    .ours()
    .statuses(300, 399),
    // Schools and homes.
    filter(
        "lightspeed",
        "the Lightspeed filter of our network refuses",
        &[AnyBody(&[
            "<title>lightspeed system",
            "lightspeedsystems.com",
            "lightspeed filter",
            "lsaccess.me",
            "block.lightspeedsystems",
        ])],
    ),
    filter(
        "securly",
        "the Securly filter of our network refuses (documented)",
        &[AnyBody(&[
            "securly.com/blocked",
            "www.securly.com/app/blocked",
            "blocked by securly",
        ])],
    ),
    header(
        "securly",
        "redirected to the Securly filter of our network (documented)",
        &[Has("location", "securly.com/blocked")],
    )
    .ours()
    .statuses(300, 399),
    filter(
        "smoothwall",
        "the Smoothwall filter of our network refuses (documented)",
        &[AnyBody(&[
            "smoothwall guardian",
            "/modules/guardian",
            "smoothwall filter",
            "smoothwall ltd",
        ])],
    ),
    filter(
        "contentkeeper",
        "the ContentKeeper filter of our network refuses (documented)",
        &[Body("contentkeeper")],
    ),
    filter(
        "netsweeper",
        "the Netsweeper filter of our network refuses (documented)",
        &[AnyBody(&[
            "/webadmin/deny/",
            "poweredbynetsweeper.com",
            "&dpruleid=",
            "netsweeper restriction",
        ])],
    )
    .wordy(),
    header(
        "netsweeper",
        "redirected to the Netsweeper filter of our network (documented)",
        &[Has("location", "/webadmin/deny")],
    )
    .ours()
    .statuses(300, 399),
    header(
        "netsweeper",
        "redirected to the Netsweeper filter of our network (documented)",
        &[Has("location", "?dpid=")],
    )
    .ours()
    .strong()
    .statuses(300, 399),
    filter(
        "olfeo",
        "the Olfeo filter of our network refuses (documented)",
        &[AnyBody(&["olfeo"]), Status(&[200, 302, 403])],
    ),
    header(
        "olfeo",
        "the Olfeo filter of our network refuses (documented)",
        &[Starts("server", "olfeo")],
    )
    .ours(),
    filter(
        "iserv",
        "the IServ filter of our network refuses (documented)",
        &[Body("/idesk/inet/block")],
    ),
    header(
        "iserv",
        "redirected to the IServ filter of our network (documented)",
        &[Has("location", "/idesk/inet/block.php")],
    )
    .ours()
    .statuses(300, 399),
    filter(
        "rm_safetynet",
        "the RM filter of our network refuses (documented)",
        &[AnyBody(&["rm.com/filteringpolicy", ".ifl.net/filterpages"])],
    ),
    filter(
        "e2guardian",
        "a DansGuardian or e2guardian filter of our network refuses (documented)",
        &[AnyBody(&["dansguardian", "e2guardian"])],
    ),
    filter(
        "squidguard",
        "a squidGuard filter of our network refuses (documented)",
        &[AnyBody(&["squidguard", "sgerror.php?url="])],
    ),
    header(
        "squidguard",
        "redirected to a squidGuard filter of our network (documented)",
        &[Has("location", "sgerror.php")],
    )
    .ours()
    .statuses(300, 399),
    header(
        "squidguard",
        "redirected to a squidGuard filter of our network (documented)",
        &[Has("location", "squidguard.cgi")],
    )
    .ours()
    .statuses(300, 399),
    filter(
        "squid",
        "a Squid proxy on our side answered",
        &[AnyBody(&[
            "stylesheet for squid error pages",
            "generated by squid",
        ])],
    )
    .wordy()
    .read(read::squid),
    filter(
        "isa_server",
        "a Microsoft ISA or TMG proxy of our network refuses (documented)",
        &[AnyBody(&[
            "denied the specified uniform resource locator (url)",
            "microsoft isa server",
            "forefront tmg",
        ])],
    ),
    filter(
        "pfblockerng",
        "the pfBlockerNG filter of our network refuses (documented)",
        &[AnyBody(&["pfblockerng"])],
    ),
    filter(
        "pihole",
        "the Pi-hole of our network refuses (documented)",
        &[AnyBody(&["pi-hole: ", "blocked by pi-hole"])],
    ),
    filter(
        "mikrotik",
        "the MikroTik proxy of our network refuses (documented)",
        &[Body("generated "), Body("(mikrotik httpproxy)")],
    ),
    header(
        "mikrotik",
        "the MikroTik proxy of our network refuses (documented)",
        &[
            Starts("server", "mikrotik httpproxy"),
            Status(&[403, 404, 502]),
        ],
    )
    .ours(),
    // Resolvers that answer with their own page in place of the partner's address.
    filter(
        "comodo_dns",
        "the Comodo Secure DNS of our network refuses",
        &[AnyBody(&[
            "<title>comodo secure dns",
            "recursive.dnsbycomodo.com",
            "comodo.com/home/internet-security/submit.php",
        ])],
    )
    .wordy(),
    header(
        "comodo_dns",
        "redirected to the Comodo Secure DNS of our network (listed)",
        &[Has("location", "dnsbycomodo.com")],
    )
    .ours()
    .statuses(300, 399),
    filter(
        "dnsfilter",
        "the DNSFilter of our network refuses (documented)",
        &[
            AnyBody(&[
                "dnsfilter.com",
                "blocked by dnsfilter",
                "webtitan",
                "safedns",
            ]),
            AnyBody(&["blocked", "denied", "restricted"]),
        ],
    ),
    filter(
        "nextdns",
        "the NextDNS of our network refuses (documented)",
        &[
            AnyBody(&[
                "blocked by nextdns",
                "nextdns.io/block",
                "blocked by adguard",
                "adguard dns",
                "cleanbrowsing.org",
            ]),
            Body("blocked"),
        ],
    ),
    filter(
        "norton_dns",
        "the Norton filter of our network refuses (documented)",
        &[AnyBody(&[
            "norton connectsafe",
            "nortonconnectsafe",
            "dns.norton.com",
        ])],
    ),
    // Security software on our own machine.
    filter(
        "kaspersky",
        "the Kaspersky software on our side refuses (documented)",
        &[
            AnyBody(&[
                "kaspersky endpoint security",
                "kaspersky internet security",
                "kaspersky web traffic security",
                "ff.kis.v2.scr.kaspersky-labs.com",
            ]),
            // The last: "Доступ запрещён", whatever the case of its first letter.
            AnyBody(&["blocked", "denied", "prohibited", "оступ запрещ"]),
        ],
    ),
    filter(
        "eset",
        "the ESET software on our side refuses (documented)",
        &[
            AnyBody(&[
                "eset endpoint",
                "eset nod32",
                "eset smart security",
                "eset internet security",
            ]),
            AnyBody(&["blocked", "access denied", "has been denied"]),
        ],
    ),
    filter(
        "bitdefender",
        "the Bitdefender software on our side refuses (documented)",
        &[
            AnyBody(&[
                "bitdefender endpoint security",
                "bitdefender blocked",
                "bitdefender antivirus",
            ]),
            AnyBody(&["blocked", "denied"]),
        ],
    ),
    filter(
        "avast",
        "the Avast software on our side refuses (documented)",
        &[
            AnyBody(&["avast web shield", "avg web shield", "avast business"]),
            AnyBody(&["blocked", "infected", "denied"]),
        ],
    ),
    // Palo Alto and others that say so in a sentence.
    filter(
        "paloalto",
        "a Palo Alto firewall of our network refuses (documented)",
        &[AnyBody(&[
            "was trying to visit has been blocked in accordance with company policy",
            "you were trying to visit has been blocked in accordance with company policy",
            "palo alto next generation security",
            "download of virus/spyware blocked",
            "virus/spyware download blocked",
        ])],
    ),
    // Providers and states. <https://github.com/ooni/blocking-fingerprints>
    header(
        "wirefilter",
        "the WireFilter of a provider refuses (listed)",
        &[Starts("server", "protected by wirefilter")],
    )
    .ours(),
    filter(
        "unknown",
        "a notice of the internet provider or the state (listed)",
        &[
            AnyBody(&[
                "internet-positif",
                "internetpositif",
                "trustpositif",
                "lighthouse.du.ae",
                "du lighthouse",
                "internet-matters",
                "surfsafely.ae",
                "/dot/?dpid=",
                "eais.rkn.gov.ru",
                "nap.rkn.gov.ru",
                "blackhole.beeline.ru",
                "assets.bt.com/parental",
                "bt parental controls",
                "ukispcourtorders",
                "siteblockindia",
                "blocked by order",
                "blocked under the instructions of a competent government authority",
                "your requested url has been blocked as per the directions",
                "per court order",
            ]),
            AnyBody(&[
                "blocked",
                "parental control",
                "not allowed",
                "prohibited",
                "restricted",
                "access",
                "diblokir",
                "ограничен",
                "заблокирован",
            ]),
        ],
    )
    .wordy()
    .strong(),
];
