//! The words of refusals in languages that [`generic`](super::generic) has no words of yet, one row a language.
//!
//! The patterns there hold the languages that most pages come in. A row here adds to each class of words, as a
//! part of its pattern: `\s` is one blank, case doesn't matter. What is not known of a language is left empty,
//! and a page in it is then a refusal of which nobody knows who made it.

/// One language: how its pages name a security layer, a reason, a refusal, a bot check, too many requests, an id, our
/// own network's people and policy, and the category of a site.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tongue {
    pub(super) layer: &'static str,
    /// Security as the reason for what anybody does.
    pub(super) reason: &'static str,
    pub(super) refused: &'static str,
    pub(super) gate: &'static str,
    pub(super) limit: &'static str,
    /// The label of an id for a ticket.
    pub(super) id: &'static str,
    pub(super) people: &'static str,
    pub(super) policy: &'static str,
    pub(super) filter: &'static str,
}

const NONE: Tongue = Tongue {
    layer: "",
    reason: "",
    refused: "",
    gate: "",
    limit: "",
    id: "",
    people: "",
    policy: "",
    filter: "",
};

/// In the order of their names in English.
const TONGUES: &[Tongue] = &[
    // Albanian.
    Tongue {
        layer: r"mur\S?\s(mbrojt|zjarri)|(sistemi?|politika\S?)\s(i|e|të)\ssiguris[ëe]",
        reason: r"arsye\ssigurie",
        refused: r"bllokua|u\srefuzua|ndaluar",
        ..NONE
    },
    // Arabic.
    Tongue {
        layer: r"نظام\s(ال)?(حماية|أمان|أمن)|سياسة\s(ال)?(أمان|أمن|حماية)",
        gate: r"لست\s(روبوت|برنامج)|أنك\sإنسان",
        limit: r"عدد\s(كبير|كثير)\s(جد[اً]{1,2}\s)?من\sالطلبات|طلبات\sكثيرة",
        id: r"(رقم|معرف)\s(ال)?(حادث|حدث|مرجع|طلب)\S?",
        people: r"(مسؤول|مدير)\sالشبكة",
        policy: r"سياسة\s(ال)?(شركة|مؤسسة|منظمة|مدرسة|جامعة)|سياسة\sاستخدام\sالإنترنت",
        filter: r"(ال)?(فئة|تصنيف)\s?:",
        ..NONE
    },
    // Armenian.
    Tongue {
        layer: r"անվտանգության\s(համակարգ|քաղաքական|կանոն)",
        reason: r"անվտանգության\s(նկատառում|պատճառ)",
        refused: r"արգելափակ|մերժվ",
        ..NONE
    },
    // Azerbaijani.
    Tongue {
        layer: r"təhlükəsizlik\s(sistem|siyasət|divar|qayda)",
        reason: r"təhlükəsizlik\ssəbəb",
        refused: r"bloklan|rədd\sedil|qadağan",
        ..NONE
    },
    // Bengali.
    Tongue {
        layer: r"নিরাপত্তা\s(ব্যবস্থা|নীতি)|ফায়ারওয়াল",
        reason: r"নিরাপত্তার\sকারণ",
        refused: r"ব্লক\sকর|প্রত্যাখ্যান|অবরুদ্ধ",
        ..NONE
    },
    // Catalan.
    Tongue {
        layer: r"tallafocs?|(regles?|pol[íi]tiques?|sistema)\sde\sseguretat",
        reason: r"motius\sde\sseguretat",
        refused: r"(ha\sestat|[ée]s)\s(bloquejad|denegad|rebutjad)|acc[ée]s\s(denegat|bloquejat)",
        limit: r"massa\s(sol·licituds|peticions)",
        id: r"identificador\s(de\ssuport|d'incident|de\sl'incident)",
        ..NONE
    },
    // Chinese.
    Tongue {
        people: r"(网络|網路|系统|系統)管理[员員]|网管",
        policy: r"(公司|企业|企業|学校|學校|单位|組織|组织|机构|機構)的?(上网|网络|網路|互联网|安全|使用|访问|管理)*(策略|政策|规定|規定)",
        filter: r"(网[站址页]|網[站址頁])?(类别|类型|分类|類別|分類)\s?[:\x{ff1a}]",
        ..NONE
    },
    // Croatian, Bosnian and Serbian in Latin letters.
    Tongue {
        layer: r"vatrozid|za[šs]titn[ia]\szid|(sigurnosn|bezb[ij]?ednosn)\S{1,3}\s(sustav|sistem|pravil|politik)",
        reason: r"(sigurnosn|bezb[ij]?ednosn)\S{1,3}\srazlog\S{0,2}",
        refused: r"blokira(n|o|la)|odbijen|zabranjen",
        gate: r"niste\srobot",
        limit: r"previ[šs]e\s(zahtjeva|zahteva|upita)",
        id: r"(id|broj)\s(zahtjeva|zahteva|incidenta|doga[đd]aja)",
        people: r"(administrator\S{0,3}\smre[žz]e|mre[žz]n\S{1,4}\sadministrator)",
        ..NONE
    },
    // Czech and Slovak.
    Tongue {
        layer: r"bezpe[čc]nostn\S{1,3}\s(syst[ée]m|pravid|politik)",
        reason: r"bezpe[čc]nostn\S{1,3}\s(d[ôo]vod\S{0,2})",
        refused: r"blokov[aá]n|zabr[aá]nen|odopret",
        gate: r"nejste\srobot|nie\sste\srobot|(jste|ste)\s[čc]lov[ěe]k",
        limit: r"p[řr][íi]li[šs]\s(mnoho|ve[ľl]a)\s(po[žz]adavk|po[žz]iadav)",
        id: r"(id|[čc][íi]slo)\s(po[žz]adavku|incidentu|ud[áa]losti)",
        people: r"spr[áa]vc\S{1,3}\s(s[íi]t[ěei]|siete)",
        policy: r"(z[áa]sad|pravid[eé]?l|politik)\S{0,3}\s(pou[žz][íi]v[áa]n\S{1,2}\sinternetu|((va[šs][íi]|va[šs]ej)\s)?(spole[čc]nosti|spolo[čc]nosti|organiz[áa]c[ei]e?|[šs]koly|firmy))",
        filter: r"kateg[óo]rie?a?\s?:",
    },
    // Danish, Norwegian and Swedish.
    Tongue {
        layer: r"(sikkerheds|sikkerhets|s[äa]kerhets)(system|polic|politik|regl|regel|filt)",
        gate: r"ikke\s(er\s)?en\srobot|inte\s[äa]r\sen\srobot",
        limit: r"for\smange\s(foresp[øo]rsler|anmodninger|fors[øo]k|fors[øo]g|kall)|f[öo]r\sm[åa]nga",
        id: r"(h[æa]ndelses|hendelses|referanse|reference|referens)\x2d?\s?(id|nummer)",
        people: r"(netv[æa]rks|nettverks|n[äa]tverks)administrat",
        policy: r"(virksomhedens|firmaets|bedriftens|organisa[st]jonens|organisationens|f[öo]retagets|skolens|skolans)\s(\S{1,20}\s)?\S{0,20}(politik|policy|retningslinjer|regler|riktlinjer)",
        ..NONE
    },
    // Dutch.
    Tongue {
        layer: r"beveiligings(systeem|regel)\S{0,2}",
        reason: r"beveiligingsreden\S{0,2}|veiligheidsreden\S{0,2}",
        gate: r"bent\su\seen\s(mens|robot)",
        ..NONE
    },
    // Estonian.
    Tongue {
        layer: r"tulem[üu][üu]r|turva(s[üu]steem|reegl|poliitika)",
        reason: r"turva(kaalutlus|p[õo]hjus)\S{0,4}",
        refused: r"blokeeri|keelatud|tagasi\sl[üu]katud",
        limit: r"liiga\spalju\s(p[äa]ringuid)",
        id: r"viitenumber|juhtumi\s(id|number)",
        people: r"v[õo]rgu(administraator|haldur)",
        ..NONE
    },
    // Finnish.
    Tongue {
        layer: r"sivuston\ssuojaus|suojausj[äa]rjestelm|tietoturva(j[äa]rjestelm|k[äa]yt[äa]n|s[äa][äa]n)",
        reason: r"tietoturvasyist[äa]",
        refused: r"est[äa]nyt|torjuttu|ev[äa]nnyt",
        gate: r"et\sole\srobotti",
        limit: r"liian\smonta\spyynt|liikaa\spyynt",
        id: r"(tapahtuman|pyynn[öo]n)\stunnus|viite(numero)?",
        people: r"verkon\syll[äa]pit",
        policy: r"(yrityksen|organisaation|koulun)\s(\S{1,24}\s)?(k[äa]yt\S{0,24}|politiik\S{0,4}|s[äa][äa]n\S{0,4})",
        ..NONE
    },
    // French.
    Tongue {
        layer: r"syst[èe]mes?\sde\s(s[ée]curit[ée]|protection)",
        gate: r"[êe]tes[\x20-]vous\sun\s(humain|robot)",
        ..NONE
    },
    // Georgian.
    Tongue {
        layer: r"უსაფრთხოების\s(სისტემ|პოლიტიკ|წეს)|ფაიერვოლ",
        reason: r"უსაფრთხოების\sმიზეზ\S{0,8}",
        refused: r"დაბლოკ|აკრძალულ|უარყოფ",
        ..NONE
    },
    // German.
    Tongue {
        layer: r"sicherheits(software|filter|l[öo]sung|mechanism)\S{0,3}",
        gate: r"sind\ssie\sein\s(mensch|roboter)|best[äa]tigen[^.]{0,20}kein\sroboter",
        ..NONE
    },
    // Greek.
    Tongue {
        layer: r"(σύστημα|συστήματος|πολιτική|πολιτικής|κανόνα|κανόνες)\sασφαλε[ίι]ας",
        refused: r"απαγορεύεται|απορριφθ|αποκλειστ",
        gate: r"δεν\sείστε\sρομπότ",
        limit: r"(πάρα\s)?πολλά\sαιτήματα",
        id: r"(αναγνωριστικό|κωδικός|αριθμός)\s(συμβάντος|αναφοράς|αιτήματος)",
        people: r"διαχειριστή?ς?\s(του\s)?δικτύου",
        ..NONE
    },
    // Hebrew.
    Tongue {
        layer: r"מערכת\s(ה)?אבטחה|מדיניות\s(ה)?אבטחה|חומת\sאש",
        refused: r"חסמה|נדחתה",
        gate: r"(אינך|לא)\sרובוט",
        limit: r"יותר\sמדי\s(בקשות|ניסיונות)",
        id: r"(מספר|מזהה)\s(אירוע|פנייה|בקשה)",
        people: r"מנהל\sהרשת",
        policy: r"מדיניות\s(ה)?(ארגון|חברה|מוסד)",
        ..NONE
    },
    // Hindi.
    Tongue {
        layer: r"सुरक्षा\s(प्रणाली|नीति|नियम)|फ़ायरवॉल|फायरवॉल",
        refused: r"ब्लॉक\s(कर|किया)|अवरुद्ध|अस्वीक",
        gate: r"रोबोट\sनहीं",
        ..NONE
    },
    // Hungarian.
    Tongue {
        layer: r"biztons[áa]gi\s(rendszer|szab[áa]ly)",
        reason: r"biztons[áa]gi\sokok\S{0,4}",
        gate: r"nem\srobot",
        limit: r"t[úu]l\ssok\s(k[ée]r[ée]s|pr[óo]b[áa]lkoz)",
        id: r"(hivatkoz[áa]si|esem[ée]ny|k[ée]r[ée]s)\s?(sz[áa]m|azonos[íi]t[óo])",
        people: r"h[áa]l[óo]zat\S{0,3}\srendszergazd",
        policy: r"(c[ée]g|v[áa]llalat|szervezet|iskola)\S{0,4}\s(\S{1,24}\s)?(szab[áa]lyzat|ir[áa]nyelv)",
        ..NONE
    },
    // Icelandic.
    Tongue {
        layer: r"eldvegg|öryggis(kerfi|regl|stefn)",
        reason: r"öryggisástæð\S{0,3}",
        refused: r"hafnað|lokað\sá|útilokað",
        ..NONE
    },
    // Indonesian and Malay.
    Tongue {
        layer: r"sistem\s(keamanan|keselamatan)|(dasar|polisi)\skeselamatan|(tembok|dinding)\sapi",
        reason: r"sebab\skeselamatan",
        refused: r"disekat|dihalang",
        gate: r"bukan\srobot",
        limit: r"terlalu\sbanyak\s(permintaan|percubaan|percobaan)",
        id: r"(id|no\.?|nomor)\s(rujukan|referensi|insiden|permintaan)",
        people: r"(pentadbir|administrator)\s(rangkaian|jaringan)",
        policy: r"(dasar|polisi|kebijakan)\s(\S{1,16}\s){0,2}(syarikat|organisasi|sekolah|perusahaan)",
        ..NONE
    },
    // Italian, Portuguese and Spanish.
    Tongue {
        layer: r"sistemas?\s(de|di)\s(seguridad|seguran[çc]a|sicurezza|protecci[óo]n|prote[çc][ãa]o|protezione)",
        gate: r"(eres|es\susted)\sun\s(humano|robot)|[ée]\sum\srob[ôo]|sei\sun\srobot",
        ..NONE
    },
    // Japanese.
    Tongue {
        layer: r"セキュリティ\s?(ポリシー|システム|機能)",
        people: r"(ネットワーク|システム)\s?管理者|情報システム部",
        policy: r"(社内|会社|組織|学校|当社)の?\S{0,12}(ポリシー|規定|規程)",
        filter: r"カテゴリ",
        ..NONE
    },
    // Kazakh and Uzbek.
    Tongue {
        layer: r"қауіпсіздік\s(жүйе|саясат|ереже)|xavfsizlik\s(tizim|siyosat|qoida)",
        reason: r"қауіпсіздік\sмақсат\S{0,4}|xavfsizlik\ssabab\S{0,4}",
        refused: r"бұғатта|тыйым\sсалын|bloklan|rad\set",
        ..NONE
    },
    // Korean.
    Tongue {
        layer: r"보안\s?(시스템|장비|솔루션|규칙)",
        people: r"네트워크\s?관리자|전산\s?(담당|관리)",
        policy: r"(회사|기관|학교|조직|사내)의?\s?(보안|인터넷|네트워크)?\s?(사용\s?)?(정책|규정)",
        filter: r"카테고리|유해\s?사이트",
        ..NONE
    },
    // Latvian.
    Tongue {
        layer: r"ugunsmūr|drošības\s(sistēm|noteikum|politik)",
        reason: r"drošības\s(apsvērum|iemesl)\S{0,4}",
        refused: r"bloķēt|noraidīt|liegta",
        limit: r"p[āa]r[āa]k\sdaudz\spiepras",
        id: r"(incidenta|piepras[īi]juma)\s(id|numurs)",
        people: r"tīkla\sadministrator",
        ..NONE
    },
    // Lithuanian.
    Tongue {
        layer: r"ugniasien|užkard[aoą]|(ap)?saug(os|umo)\s(sistem|taisykl|politik)",
        reason: r"saugumo\s(sumetim|prieža[sš])\S{0,4}",
        refused: r"užblok|blokuojam|atmest|uždraust",
        limit: r"per\sdaug\s(u[žz]klaus)",
        id: r"(incidento|u[žz]klausos)\s(id|numeris)",
        people: r"tinklo\sadministrator",
        ..NONE
    },
    // Macedonian and Serbian in Cyrillic letters.
    Tongue {
        layer: r"заштитни\sзид|заштитен\sѕид|безбедносн\S{1,3}\s(систем|правил|политик)",
        reason: r"безбедносн\S{1,3}\s(разлог|причин)\S{0,2}",
        refused: r"блокира|одбијен|одбиен|забрањен|забранет",
        id: r"(ид|број)\s(догађаја|захтева|инцидента)",
        ..NONE
    },
    // Persian and Urdu.
    Tongue {
        layer: r"(سامانه|سیستم|سیاست)\s(های\s)?امنیتی|سیکیورٹی\s(سسٹم|پالیسی)",
        reason: r"دلایل\sامنیتی|سیکیورٹی\sوجوہات",
        refused: r"بلاک\sکر|مسترد|غیرمجاز",
        gate: r"ربات\sنیستید",
        limit: r"درخواست‌?\s?های\s(بیش\sاز\sحد|زیاد)|تعداد\sدرخواست",
        id: r"شناسه\s(رخداد|درخواست|پیگیری)",
        people: r"مدیر\sشبکه",
        ..NONE
    },
    // Polish.
    Tongue {
        layer: r"system\S{0,3}\s(bezpiecze[ńn]stwa|ochrony|zabezpiecze[ńn])|regu[łl]\S{0,3}\sbezpiecze[ńn]stwa",
        id: r"(id|numer|identyfikator)\s(zg[łl]oszenia|incydentu|zdarzenia|[żz][ąa]dania)",
        people: r"administrator\S{0,3}\ssieci",
        policy: r"(polityk|regulamin|zasad)\S{0,3}\s(korzystania\sz\s(internetu|sieci)|(twojej\s)?(firmy|organizacji|szko[łl]y))",
        filter: r"kategori[ai]\s?:",
        ..NONE
    },
    // Romanian.
    Tongue {
        layer: r"(sistem|politic|regul)\S{0,3}\sde\ssecuritate|paravan",
        gate: r"nu\ssunte[țţt]i\s(un\s)?robot",
        limit: r"prea\smulte\s(cereri|solicit[ăa]ri|[îi]ncerc[ăa]ri)",
        id: r"id\s(incident|cerere|solicitare)",
        people: r"administrator\S{0,4}\s(de\s)?re[țţt]e",
        policy: r"politic\S{0,3}\s(de\s\S{1,12}\s)?(companiei|organiza[țţt]iei|[șşs]colii)",
        ..NONE
    },
    // Russian and Ukrainian.
    Tongue {
        gate: r"перевірк[аи]\s(вашого\s)?браузера|(ви|що\sви|вы|что\sвы)\s(не\s)?(робот|людина|человек)|захист\sвід\sddos|защита\sот\sddos",
        limit: r"забагато\s(запитів|спроб)|занадто\sбагато\s(запитів|спроб)",
        people: r"(администратор|адміністратор)\S{0,3}\s(локальной\s|вашей\s|вашої\s)?(сети|мережі)",
        policy: r"політик\S{1,2}\s(безпеки\s)?(компанії|організації)",
        filter: r"категорі[яї]\s?:",
        ..NONE
    },
    // Slovenian.
    Tongue {
        layer: r"po[žz]arn\S{1,3}\szid|varnostn\S{1,3}\s(sistem|pravil|politik)",
        reason: r"varnostn\S{1,3}\srazlog\S{0,2}",
        refused: r"zavrnjen|prepovedan",
        limit: r"preve[čc]\s(zahtev|zahtevkov|poskusov)",
        id: r"([šs]tevilka|id)\s(dogodka|zahteve|incidenta)",
        people: r"(skrbnik|administrator)\S{0,3}\somre[žz]j",
        ..NONE
    },
    // Thai.
    Tongue {
        layer: r"ระบบ(รักษา)?ความปลอดภัย|นโยบาย(การรักษา|ด้าน)?ความปลอดภัย",
        reason: r"เหตุผลด้านความปลอดภัย",
        gate: r"ไม่ใช่(หุ่นยนต์|โรบอท|บอท)",
        limit: r"คำขอมากเกินไป|ส่งคำขอ(บ่อย|มาก)เกินไป",
        id: r"(หมายเลข|รหัส)(อ้างอิง|เหตุการณ์)",
        people: r"ผู้ดูแล(ระบบ)?เครือข่าย",
        ..NONE
    },
    // Turkish.
    Tongue {
        layer: r"g[üu]venlik\s(sistem|kural)\S{0,4}",
        reason: r"g[üu]venlik\sneden\S{0,6}",
        id: r"(olay|talep|destek|referans)\s(kodu|numaras[ıi]|no)",
        people: r"a[ğg]\sy[öo]netici",
        policy: r"(kurum|[şs]irket|okul)\S{0,8}\s(\S{1,16}\s){0,3}politika",
        filter: r"kategori(ye|si|sine)?\s?[:(]",
        ..NONE
    },
    // Vietnamese.
    Tongue {
        layer: r"hệ\sthống\s(bảo\smật|an\sninh|bảo\svệ)|chính\ssách\s(bảo\smật|an\sninh)",
        gate: r"không\sphải\s(là\s)?(người\smáy|robot)",
        limit: r"quá\snhiều\s(yêu\scầu|lần)",
        id: r"mã\s(sự\scố|tham\schiếu|yêu\scầu)",
        people: r"quản\strị\s(viên\s)?mạng",
        ..NONE
    },
    // Welsh.
    Tongue {
        layer: r"wal\sd[âa]n|system\sddiogelwch",
        reason: r"rhesymau\sdiogelwch",
        refused: r"(wedi'i|ei)\s(rwystro|wrthod)",
        ..NONE
    },
];

/// A column of the table as the alternatives of a pattern.
pub(super) fn words(column: fn(&Tongue) -> &'static str) -> String {
    let words = TONGUES.iter().map(column).filter(|words| !words.is_empty());
    words.collect::<Vec<_>>().join(" | ")
}
