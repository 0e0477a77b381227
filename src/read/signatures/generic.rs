//! Generic signs: what a refusal says of itself when nobody's name is on it.
//!
//! The tier below the makers' own signs and the origin's. A page that says that a security layer refused,
//! that our network's policy forbids a site, or that a person must prove to be one, is believed as to
//! *what* happened, never as to who made it. Words alone are cheap: a reading needs several of them that
//! have nothing to do with each other, on a page that says little else, and with a good status still more.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::page::{Form, Page, pattern, starts};
use super::{Found, Place, Tier, origin, tongues};
use crate::domain::verdict::{Evidence, Kind, Rule, Strength, WhoActs};

/// Refusals are short; what says more is about something. In characters: half of the world's take two bytes and more.
const TEXT_MAX: usize = 2500;
/// With a good status the refusal must be all that there is.
const GOOD_TEXT_MAX: usize = 700;
/// A provider's notice says more below its first sentences, in which everything is said.
const NOTICE_HEAD: usize = 320;
/// A page that only sends on to another has no more than this, and so much text.
const FORWARD_BYTES_MAX: usize = 4 * 1024;
const FORWARD_TEXT_MAX: usize = 80;
/// Bodies above this are not read for words: the longest refusal seen with pictures inlined has 41 KiB.
const BODY_BYTES_MAX: usize = 48 * 1024;
/// Text in which a sentence is quoted as evidence.
const QUOTED_CHARS: usize = 90;

/// A word class: what it is called in evidence, and how it is seen.
struct Words {
    says: &'static str,
    seen: LazyLock<Regex>,
}

macro_rules! words {
    ($name:ident, $says:literal, $pattern:literal $(, $column:ident)*) => {
        static $name: Words = Words {
            says: $says,
            seen: LazyLock::new(|| {
                plain(&[$pattern $(, " | ", tongues::words(|tongue| tongue.$column).as_str())*].concat())
            }),
        };
    };
}

words!(
    LAYER,
    "it names a security layer",
    r"(?ix) \b(web\s(application\s|app\s)?firewall|application\sfirewall|waf|\w+[-_]waf|firewall[a-z]{0,3}|ddos|anti-?ddos|anti-?bot|bot[\x20-](protection|detection|management|manager|mitigation)
      |(web|website|site)\s(protection|security)|intrusion\s(prevention|detection)|mod_?security
      |security\s(polic(y|ies)|rules?|service|system|solution|gateway|layer|module|filter|reasons?|plugin|software|engine|appliance|check|control|settings|measures?|network))\b
      | 防火墙|云防护|安全策略|安全防护|设置拦截|拦截提示|安全拦截|安全狗|网站防护|防护系统|防火牆|資訊?安全|웹\s?방화벽|보안\s?정책|방화벽 | ファイアウォール|セキュリティ上の|不正アクセス防止 | pare-feu|(r[èe]gles?|raisons?|politiques?)\sde\ss[ée]curit[ée] | cortafuegos|(reglas?|pol[íi]ticas?|motivos?|razones)\sde\sseguridad | (regras?|pol[íi]ticas?|motivos?|raz[õo]es)\sde\sseguran[çc]a | (regole|motivi|criteri)\sdi\ssicurezza | sicherheits(gr[üu]nden|richtlinien?|regeln?|system) | g[üu]venlik\s(duvar[ıi]|politika) | beveiligingsbeleid|(door|van)\s(de|onze|het)\sbeveiliging | zap(or[aęyą]|orowa)\s(sieciow|aplikac)|wzgl[ęe]d[óo]w\sbezpiecze[ńn]stwa | bezpe[čc]nostn[íi](ch|mi?)?\s(d[ůu]vod|pravid|politik|syst[ée]m) | brandv[äa]gg|s[äa]kerhetssk[äa]l|brannmur|sikker(hetsgrunner|hets[åa]rsaker|hedsm[æa]ssige)|palomuuri|turvallisuussyist|t[űu]zfal|biztons[áa]gi\sok|motive\sde\ssecuritate
      | brandmauer|фаерв?ол|файрв?ол|брандмауе?э?р|межсетев|(систем|служб|правил|соображени|міркуван)[а-яії]{0,3}\s(защиты|безопасности|захисту|безпеки) | τείχος\sπροστασίας|λόγους\sασφαλείας | جدار\s(ال)?حماية|لأسباب\sأمنية|دیوار\s?آتش | защитн(а|ата)\sстена | सुरक्षा\sकारण | חומת\sאש|מטעמי\sאבטחה | ไฟร์วอลล์ | tường\slửa|lý\sdo\s(bảo\smật|an\sninh) | (alasan|kebijakan)\skeamanan",
    layer,
    reason
);
words!(
    REFUSED,
    "it says that the request was refused",
    r"(?ix) \b(request|access|connections?|page|url|visit|activity|attempt|action|traffic|content|resource|website|web\ssite|site|you(\shave|'ve)?|ip(\saddress)?|response)
      (\s\w+){0,12}?\s(has\sbeen|have\sbeen|had\sbeen|was|were|is|are|been|got|being)(\s\w+){0,3}?\s(not\s(permitted|allowed)|blocked|denied|rejected|refused|intercepted|forbidden|restricted|flagged|prohibited|stopped|disallowed|banned)\b
      | \b(access\s(is\s)?(denied|forbidden|restricted|blocked)|accessdeny|request\s(is\s)?(blocked|rejected|denied|refused|forbidden)|restricted\saccess|(has|have)\s(blocked|stopped|rejected|refused|intercepted|prevented)\s(you|your|this)|prevent(ed|ing)?\saccess|blocked\s(your|this|the)\s(request|access|connection|ip)|you(\shave|'ve)?\s(been\s|are\s)blocked
      |blocked\sby\s|denied\sby\s|rejected\sby\s|refused\sby\s|intercepted\sby\s
      |access\s(to\s)?([^\s.]+\s){0,9}(has|have)\sbeen\sdisabled|(url|site|page|domain)\s(is\s)?(blocked|forbidden)\b|blocked\s(url|site|page|domain)
      |(site|page|url)\s(is\s)?(not|no\slonger)\s(available|accessible)\s(in|from|due))
      | 拦截|攔截|被封鎖|被阻擋|被拒|被阻断|被阻止|被禁止|禁止访问|访问被拒绝|拒绝访问|차단|거부되|アクセスが拒否|ブロック|遮断|拒否され | (a\s[ée]t[ée]|est)\s(bloqu[ée]e?|refus[ée]e?|rejet[ée]e?) | bloquead[oa]|denegad[oa]|rechazad[oa] | (wurde|wird|ist)(\s[^\s.!?]+){0,8}\s(blockiert|gesperrt|abgelehnt|abgewiesen|verweigert)|zugriff\s(verweigert|blockiert|gesperrt|abgelehnt) | acesso\s(negado|bloqueado)|foi\s(bloquead|negad|recusad)[oa] | acc[èe]s\s(refus[ée]|interdit|bloqu[ée]) | accesso\s(negato|bloccato) | заблокирован|отклон[её]н|запрещ[её]н|доступ\s([^.]{0,80}\s)?(ограничен|закрыт)|блокиран|отхвърлен|заблоковано?|відхилен|заборонен | zablokowan|odrzucon | zablokov[aá]n|odep[rř]en|zam[ií]tnut|odmietnut | blockera(ts|des|d)\b|nekad|avvisa[dt]|blokkert|blokeret|nektet|n[æa]gtet|afvist|estetty|ev[äa]tty | letilt|blokkolt|megtagad|elutas[ií]t | blocat[aă]?\b|respins[aă]?\b|refuzat | μπλοκαρ|αποκλείστηκε|απορρίφθηκε | حظر|محظور|مسدود|محجوب | נחסמ|חסומה | ถูกบล็อก|ถูกปฏิเสธ|ถูกระงับ | bị\s(chặn|từ\schối) | diblokir|ditolak|(di|kami)\sblokir|(tidak|tak)\s(dapat|bisa)\s(diakses|ditampilkan|mengakses)|akses\sditutup|menutup\sakses | bloccat[oa] | geblokkeerd|geweigerd | engellen|reddedil",
    refused
);
words!(
    ATTACK,
    "it speaks of an attack or of suspicion",
    r"(?ix) \b(malicious|attacks?|suspicious|hack(er|ers|ing)?|injection|threats?|harmful|illegal\s(parameter|request|character|url|content|access|operation)|invalid\srequest\sformat|abnormal|anomal(y|ous)|unusual\s(traffic|activity)|automated\s(traffic|requests?|access|tools?|queries)|robot|bots?|scraping|violat(es|ed|ion)|potentially\s(dangerous|harmful|unsafe)|security\sincident|(vpn|tor|anonymous\sproxy|proxy\sor\svpn|vpn\sor\sproxy)\s(\w+\s)?(detected|connections?)|hosting\sproviders?|anonymi[sz]ers?)\b
      | 攻击|安全威胁|非法|恶意|可疑|不合法|공격|비정상|不正な |攻撃|攻擊 | attaque|malveillant | ataque|malicios | angriff|verd[äa]chtig | атак|подозрит|підозр | podejrzan|podez[řr]el|misst[äa]nk|mistenkel|mist[æa]nkel|[şs][üu]pheli|sald[ıi]r[ıi] | mencurigakan"
);
words!(
    GATE,
    "it asks for proof that a person is there",
    r"(?ix) \b(verify(ing)?\s(that\s)?(you('re|\sare)|your\s(browser|request)|the\ssecurity\sof)(\s\w+){0,2}?\s?(human|a\srobot|not\sa\s(ro)?bot|a\sreal|a\sperson|connection|browser|$|\.)
      | (you('re|\sare)|i('m|\sam))\s(not\sa\s(ro)?bot|a\shuman|human) | are\syou\s(a\s)?(human|robot|real) | prove\s(that\s)?you('re|\sare)\s(a\s|not\sa\s)?(human|robot|bot|real)
      | (confirm|show)\sthat\syou('re|\sare)\s(a\s|not\sa\s)?(human|robot|bot) | robot\sor\s(a\s)?human
      | (human|anti-?robot|anti-?bot|robot|browser|visitor\santi-robot)\s(verification|validation|check|challenge) | (checking|validating|verifying)\s(if\sthe\ssite|your\sbrowser|the\ssite) | security\s(challenge|verification)
      | (complete|solve|pass|enter|fill)\s(in\s|out\s|the\s|this\s|a\s){0,2}(re)?captcha | client\schallenge | slide\sto\sverify | drag\sthe\sslider | press\s(&|and)\shold | unusual\straffic\sfrom\syour | just\sa\smoment | one\smoment,?\splease | making\ssure\syou('re|\sare)\snot
      | enable\sjavascript\sand\scookies\sto | ddos\sprotection\sby | (browser|connection)\sis\sbeing\s(checked|verified))
      | (best[äa]tigen|[üu]berpr[üu]fen|verifizieren)\ssie[^.]{0,20}\sdass\ssie\s(kein\s(ro)?bot|ein\smensch) | v[ée]rifi(ez|er)\sque\svous\s(n[e']\s?)?[êe]tes\s(bien\s|pas\s)?(un\s)?(humain|robot)|n['e]?\s?[êe]tes\spas\sun\srobot | (no|n[ãa]o)\s(es|eres|soy|[ée]|sou)\su[nm]\srob[oôó]t?|(es|eres|[ée])\s(un\s|um\s)?(ser\s)?humano | non\s(sei|sono)\sun\srobot|sei\s(un\s)?(essere\s)?umano | geen\srobot\sbent|een\smens\sbent | nie\sjeste[śm]\srobotem|jeste[śm]\scz[łl]owiekiem | inte\s[äa]r\sen\srobot | ikke\s(er\s)?en\srobot
      | 安全验证|人机验证|驗證您|人機驗證|人間であること|로봇이\s?아|人机识别|滑动验证|请完成.{0,6}验证|验证码 | robot\sdeğil | я\sне\sробот|проверка\sбраузера|проверяем | ロボットでは",
    gate
);
words!(
    MECHANISM,
    "it carries a bot check",
    r#"(?ix) captcha[_./-]|[_./-]captcha|hcaptcha\.com|recaptcha/(api|enterprise)|g-recaptcha|h-captcha|cf-turnstile|challenges\.cloudflare\.com|funcaptcha|arkoselabs|geetest|smart-?captcha|document\.cookie\s*=|location\.(reload|replace)\s*\(|http-equiv=["']?refresh|challenge[._/-]|[._/-]challenge|proof-?of-?work|anti-?robot|jschl|<noscript"#
);
words!(
    OUR_PEOPLE,
    "it sends to whoever runs our network",
    r"(?ix) \b((your|the|our)\snetwork\s(administrator|operator|admin|department|team|support)|network\s(administrator|operator|admin)|it\shelp\s?desk|internet\s(service\s)?provider|(broadband|internet)\scustomers?
      |your\s(school|district|school\sdistrict|employer|university|library)|broadband\sshield)\b | fournisseur\sd'acc[èe]s | proveedor\sde\s(internet|servicios) | provedor\sde\s(internet|acesso) | internet-?anbieter|internet-?provider|internetaanbieder
      | абонент|оператор\S{0,2}\sсвязи | jaringan\s(kami|ini) | operadora | vom\sadministrator\sgesperrt | администратор\s?у?\s?сети|netzwerkadministrator|administrateur\s(du\s)?r[ée]seau|administrador\s(de\s(la\s)?red|da\srede)|amministratore\s(di|della)\srete|netwerkbeheerder|n[äa]tverksadministrat[öo]r",
    people
);
words!(
    OUR_POLICY,
    "it speaks of our own network's policy",
    r"(?ix) \b(network\spolic(y|ies)
      |(company|corporate|organi[sz]ation(al|'s)?|school|district|university|enterprise|internet\s(usage|use|access)|acceptable\suse|web\s(usage|access|use)|browsing|surfing|content\sfiltering?|url\sfiltering?)\s(internet\s|web\s|security\s|access\s)?polic(y|ies))\b
      | политик[аи]\s(безопасности\s)?(компании|организации)|richtlinien?\s(ihre[rs]|des|der)\s(unternehmens|organisation|firma|schule)
      | (politique|charte|r[èe]gles)\s(\w+\s|de\ss[ée]curit[ée]\s){0,3}de\s(votre\s|l'|cette\s|la\s)(entreprise|soci[ée]t[ée]|organisation) | pol[íi]tica\s(\w+\s|de\snavegaci[óo]n\s){0,3}d[ea]\s(la\s|su\s|sua\s)?(empresa|organizaci[óo]n|organiza[çc][ãa]o|escuela|escola) | (politica|criteri)\s(\w+\s){0,3}(dell'|della\s)(azienda|organizzazione|scuola) | beleid\svan\s(uw|je|het)\s(bedrijf|organisatie|school)",
    policy
);
words!(
    OUR_FILTER,
    "it names a web filter or a category",
    r"(?ix) \b((web|url|content|internet|site|dns)[\x20-]filter(ing|s|ed)?|categori[sz]ed\sas|(blocked|forbidden|denied|restricted)\scategor(y|ies)|site\scategory|url\scategory|category\sof\s|web\sgateway|secure\sweb|parental\scontrol|proxy\sserver|web\sproxy|internet\ssecurity|block(ed)?\s?page|website\sblocked|web\s?(site|page)\sblocked|site\sblocked|this\s(web\s?)?(site|page|domain)\s(is|has\sbeen|was)\s(blocked|restricted)|your\sip\saddress\sand\s(visit|user)|override|blocked\surl|url\sblocked|adult\scontent|content\s(filter|controls?)|family\s?filter|safeweb|safe\sinternet)\b
      | (category|kategorie|cat[ée]gorie|categor[íi]a|categorie)\s?: | категори[яи]|контент-?\s?фильтр|webfilter|filtre\s(internet|web)|filtro\s(web|de\sconten?[iú]do)",
    filter
);
words!(
    OUR_LAW,
    "it names an order of a court or an authority",
    r"(?ix) \b((court|courts|ministry|regulator|government|law|judicial|authorities)[\x200-9A-Za-z_]{0,30}\sorders?|orders?\s(of|by|from|issued\sby)\s(the\s|a\s)?(\w+\s){0,2}(courts?|ministry|regulator|government|authorit(y|ies))|(competent|government|regulatory|telecommunications?|public)\sauthorit(y|ies)|under\sthe\sinstructions\sof
      |(directives?|directions?|decisions?|regulations?|requests?)\s(\w+\s){0,3}(of|from|by|to)\s(\w+\s){0,2}(ministry|authorit(y|ies)|government|courts?)|(because|as)\sthe\sministry
      |national\slaws?|federal\s(law|legislation)|violates?\s(the\s)?(\w+\s)?laws?|prohibited\s(for\sviewership|under|by)\s(\w+\s){0,2}(law|regulat|from|internet)\w*)\b
      | (d[ée]cision|ordonnance)\s(du|d'un|de\sla)\s(tribunal|juge|justice|justicia) | autoridade?\scompetente | rechtbank|(op\slast|in\sopdracht)\svan | (orden|resoluci[óo]n|mandato|ordem|decis[ãa]o)\s(judicial|del?\s(juez|juzgado|tribunal)) | (provvedimento|ordine|disposizione)\s(dell'|della\s|del\s|di\s)(autorit|tribunale|agcom) | beh[öo]rdlich|gerichtlich|(gerichtsbeschluss|anordnung\sde[rs]) | kanun|mahkeme | федеральн\S{1,4}\sзакон|(решени|постановлени)\S{1,4}\s(\S+\s)?(суда|роскомнадзора|министерств|орган|правительств)|требовани\S{1,4}\s(\S+\s)?(законодательств|закон|фз)|(соответствии|согласно)\s(с\s|со\s)?(\S+\s){0,3}(законодательств|закон)|един\S{2,3}\sреестр|149-?\s?фз|фз\sот|запрещ[её]н\S{0,4}\sк\sраспространению|роскомнадзор|(eais|blocklist)\.rkn | peraturan\s(perundang|menteri|pemerintah)|kominfo|komdigi|trust\s?positif|internet\s?(positif|sehat)|konten\snegatif | กระทรวง|ศาล | 방송통신심의|법률에 | 法院|有关部门 "
);
words!(
    WHOLE_SITE,
    "it is about a whole site",
    r"(?ix) \b(this|the|these|requested)\s(web\s?)?(sites?|pages?|domains?|urls?|resource|web\spage|location\syou)\b | ce\ssite | (este|el)\ssitio|(esta|la)\s(p[áa]gina|web) | (este|o)\ss[íi]tio|este\ssite | (diese|die)[rs]?\s(web|internet)?-?(seite|site) | (questo|il|al)\ssito | deze\s(web)?(site|pagina) | contenido | เว็บไซต์ | ресурс|сайт|страниц | internet\ssitesi|web\ssitesi | situs | 해당\s?사이트|이\s사이트 | 网站|網站"
);
words!(
    PRIVATE_ADDRESS,
    "it shows an address of a private network",
    r"\b(10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}\b"
);
words!(
    LIMIT,
    "it says that there were too many requests",
    r"(?ix) \b(too\smany\s(requests|calls|connections|queries|hits)|rate[\x20_-]?limit(s|ed|ing|er)?(\s(is|was|has\sbeen))?\s?(exceeded|reached|hit)?|(requests?|api|calls?|usage|daily|hourly|monthly|query)\s(limit|quota)s?(\s(is|was|has\sbeen))?\s(exceeded|reached)|quota\s(exceeded|exhausted|violat(ion|ed)|reached|has\sbeen)|over\s(qps|query|quota|rate)|reach(ed)?\s(the\s)?max(imum)?\s(\w+\s){0,4}(limit|quota)s?|(exceeded|over|exhausted)\s(\w+\s){0,4}(rate|limit|quota|requests)|throttl(ed|ing)|slow\sdown|slowdown|(requests|calls|queries|hits)\sper\s(second|minute|hour|day|month)|toomanyrequests|(\w*(request|rate|call|quota|usage|query|queries))s?[\x20_]?limit[\x20_]?exceeded|limit_?exceeded|over_?query_?limit|user_?rate_?limit|requestlimitexceeded)\b | zu\sviele\s(anfragen|aufrufe|zugriffe|versuche) | trop\sde\s(requ[êe]tes|demandes|tentatives|connexions) | demasiad[oa]s\s(solicitudes|peticiones|intentos|llamadas) | (muitas|excesso\sde)\s(solicita[çc][õo]es|requisi[çc][õo]es|tentativas|chamadas) | troppe\s(richieste|chiamate)|troppi\stentativi | te\sveel\s(verzoeken|aanvragen|pogingen) | zbyt\swiele\s([żz][ąa]da[ńn]|zapyta[ńn]|pr[óo]b) | f[öo]r\sm[åa]nga\s(f[öo]rfr[åa]gningar|anrop|f[öo]rs[öo]k) | слишком\sмного\s(запросов|попыток)|превышен[оа]?\s(лимит|количество|число) | [çc]ok\sfazla\s(istek|deneme) | (请求|访问|操作|調用|调用)(过于|太|过)?频繁|频率(限制|过高|超限)|请求次数(过多|超)|超[出过].{0,6}(限制|配额|次数) | リクエストが多すぎ|リクエスト数の上限 | 요청이\s너무\s많|요청\s(횟수|한도)",
    limit
);

/// A pattern over text whose white space is collapsed, with the word classes of ASCII: Unicode's are large and slow.
fn plain(text: &str) -> Regex {
    pattern(
        &text
            .replace('\'', r"['\x{2019}]")
            .replace(r"\w", "[0-9A-Za-z_]")
            .replace(r"\s", r"\x20")
            .replace(r"\b", r"(?-u:\b)"),
    )
}

/// A title that is nothing but a refusal.
static TITLE: LazyLock<Regex> = LazyLock::new(|| {
    plain(
        r"(?ix) ^\W*(\d{3}\W+)?(the\s)?(request|access|page|site|error)?\s?(rejected|blocked|denied|refused|forbidden|intercepted)\W*$",
    )
});

/// The thing itself, and not a policy that anybody may have.
static FIREWALL: LazyLock<Regex> =
    LazyLock::new(|| plain(r"(?i)\b(?:firewall|waf)\b|防火墙|防火牆|방화벽|ファイアウォール"));

/// A refusal that is the first word of a plain answer.
static BEGINS: LazyLock<Regex> =
    LazyLock::new(|| plain(r"(?i)^\W*(?:blocked|denied|rejected|intercepted)\b"));

/// Security as the reason for what anybody does: a bank's session ends for it too.
static REASON: LazyLock<Regex> = LazyLock::new(|| {
    let own = r"(?ix) ^(security\s(reasons?|measures?|check|settings|control) | sicherheitsgr[üu]nden | (raisons?|motivos?|razones|raz[õo]es|motivi|motive)\s.* | wzgl.* | s[äa]kerhetssk[äa]l | sikker.* | turvallisuussyist | (соображени|міркуван).* | .*أمنية | מטעמי.* | lý.* | alasan.* | ";
    plain(&[own, &tongues::words(|tongue| tongue.reason), ")$"].concat())
});

/// A single request, or whoever sent it, was refused: not a session, an account, an order.
static OF_REQUEST: LazyLock<Regex> =
    LazyLock::new(|| plain(r"(?i)\b(?:requests?|ip(?: address)?|connection|traffic|url)\b"));

/// What only a bot check speaks of.
static HUMAN: LazyLock<Regex> = LazyLock::new(|| {
    let own = r"(?ix) \b(?:human|humain|humano|umano|mensch|mens|robot|robotem|rob[oô]|captcha)\b|人机|人機|验证码|驗證|人間|ロボット|로봇 | ";
    plain(&[own, &tongues::words(|tongue| tongue.gate)].concat())
});

/// What a page that checks a browser says that it does.
static CHECKS: LazyLock<Regex> = LazyLock::new(|| {
    plain(
        r"(?i)\b(?:checking|verifying|validating) (?:if the site|your (?:browser|connection|request))|request is being (?:verified|checked)|browser (?:check|verification|validation)\b|\bddos protection|перевірк[аи] (?:вашого )?браузера|проверка браузера",
    )
});

/// The puzzle of a bot check, as it stands in a page.
static WIDGET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)g-recaptcha|h-captcha|cf-turnstile|recaptcha/(?:api|enterprise)|hcaptcha\.com|captcha-container|funcaptcha|arkoselabs|geetest|smart-?captcha",
    )
});

/// An id that a refusal prints with a label, for a ticket.
static LABELLED_ID: LazyLock<Regex> = LazyLock::new(|| {
    let own = r"(?ix) (?:\b(?:incident|request|support|event|case|trace|block|reference|ref|ticket|transaction|session|error|log|tracking|correlation|client\srequest|message|attack|ray|unique
            |vorfalls?|vorgangs?|ereignis|anfrage|referenz|incidente|incidencia|evento|solicitud|soporte|suporte|requisi[çc][ãa]o|referencia|r[ée]f[ée]rence|requ[êe]te|demande|richiesta|supporto|zaak|aanvraag|verzoek|zg[łl]oszenia|incydentu|po[žz]adavku|incidentu|h[äa]ndelse|henvendelse|destek|talep|olay)
            |[äa]rende|事件|请求|請求|拦截|追踪|お問い合わせ|リクエスト|受付|요청|지원|문의|инцидента|запроса|обращения|события)
          [\x20_-]?(?:id|no\.?|number|numm?er|nr\.?|n[úu]mero|code|kod|identifier|uuid|号|编号|編號|番号|번호)?(?:\sis|是|为)? \s?[:=\#\x{ff1a}]+\s* \#?\s*<?\s* ([0-9a-z][0-9a-z._/+-]{5,79})
        | \bid\s(?:evento|incidente|richiesta|transazione|solicitud|incidencia|soporte|suporte|(?:de|del|da|do|di|della|du)\s(?:la\s)?[^\s:]{4,16})\s?:\s*([0-9a-z][0-9a-z._/+-]{5,79})
        | (?:";
    let id = r")\s?[:\#\x{ff1a}]\s*([0-9a-z][0-9a-z._/+-]{5,79})";
    plain(&[own, &tongues::words(|tongue| tongue.id), id].concat())
});
/// The same in a sentence, without a colon: "quote event ID 7f3a9912cc".
static SPOKEN_ID: LazyLock<Regex> = LazyLock::new(|| {
    plain(
        r"(?ix) \b(?:incident|request|support|event|case|trace|block|reference|ticket|log)\s(?:id|number|no\.?)\s(?:is\s|of\s)?([0-9a-z][0-9a-z._/+-]{5,79})",
    )
});
/// The same in JSON, in data that a script reads, and as an element.
static MEMBER_ID: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)(?:["'](?:incident|request|support|event|case|trace|block|reference|ticket|transaction|log|tracking)[_-]?(?:id|uuid|number|no)["']\s*:\s*["']?|<(?:[a-z]{1,16}:)?(?:incident|request|support|event|case|trace|block|reference|ticket|transaction|log|tracking)[_-]?(?:id|uuid|number|no)>\s*)([0-9a-z][0-9a-z._/+-]{5,79})"#,
    )
});

/// The id that the page prints with its label.
pub(crate) fn labelled_id(page: &Page<'_>) -> Option<String> {
    let text = page.visible();
    let id_of = |id: &str| {
        let id = id.trim_end_matches(['.', '-', '/', '_']);
        // A word after the label is no id ("Reference: support"): ids have digits, and more than a year.
        let digits = id.bytes().filter(u8::is_ascii_digit).count();
        (id.len() >= 6 && digits >= 3).then(|| id.to_owned())
    };
    let first = |pattern: &Regex| {
        let ids = pattern.captures_iter(text).take(12);
        ids.flat_map(|found| found.iter().skip(1).flatten().collect::<Vec<_>>())
            .find_map(|id| id_of(id.as_str()))
    };
    let printed = first(&LABELLED_ID).or_else(|| first(&SPOKEN_ID));
    printed.or_else(|| {
        if page.body().len() > BODY_BYTES_MAX {
            return None;
        }
        let body = String::from_utf8_lossy(page.body());
        let id = MEMBER_ID.captures(&body)?.get(1)?.as_str().to_owned();
        id.bytes().any(|b| b.is_ascii_digit()).then_some(id)
    })
}

/// Whether the text says that a request was refused or that a person must prove to be one.
pub(crate) fn refuses(text: &str) -> bool {
    REFUSED.seen.is_match(text) || GATE.seen.is_match(text)
}

/// Whether the text says that a request was refused.
pub(crate) fn says_refused(text: &str) -> bool {
    REFUSED.seen.is_match(text)
}

/// Whether a member of data says in one word that the request was refused: `"status": "blocked"`.
fn refused_by_member(page: &Page<'_>) -> bool {
    const NAMES: [&str; 7] = [
        "status", "action", "result", "decision", "outcome", "verdict", "code",
    ];
    const WORDS: [&str; 8] = [
        "blocked",
        "block",
        "denied",
        "deny",
        "rejected",
        "refused",
        "waf_block",
        "request_blocked",
    ];
    let Some(members) = page.json().and_then(serde_json::Value::as_object) else {
        return false;
    };
    if members.get("blocked") == Some(&serde_json::Value::Bool(true)) {
        return true;
    }
    NAMES
        .iter()
        .filter_map(|name| members.get(*name)?.as_str())
        .any(|said| WORDS.iter().any(|word| said.eq_ignore_ascii_case(word)))
}

/// Whether data with a good status says by its members that it stands for a refusal.
pub(crate) fn refuses_in_json(page: &Page<'_>) -> bool {
    let Some(members) = page.json().and_then(serde_json::Value::as_object) else {
        return false;
    };
    let told = |name: &str| {
        members
            .get(name)
            .is_some_and(|said| !matches!(said, serde_json::Value::Null) && said != "")
    };
    let number = |name: &str| {
        members
            .get(name)
            .and_then(serde_json::Value::as_i64)
            .is_some_and(|code| (400..=599).contains(&code))
    };
    let failed = |name: &str| members.get(name) == Some(&serde_json::Value::Bool(false));
    let number_is_no = |name: &str| {
        let code = members.get(name).and_then(serde_json::Value::as_i64);
        code.is_some_and(|code| code != 0)
    };
    members.len() <= 8
        && (number("code")
            || number("status")
            || failed("success")
            || failed("ok")
            || number_is_no("errcode")
            || number_is_no("error_code")
            || told("error")
            || told("error_message")
            || told("errorMessage")
            || members.contains_key("url") && members.len() <= 2
            || members.contains_key("rgv587_flag")
            || members.contains_key("appId"))
}

/// Whether the text says that there were too many requests.
pub(crate) fn says_too_many(text: &str) -> bool {
    LIMIT.seen.is_match(text)
}

/// The words by which it says so.
pub(crate) fn words_of_limit(text: &str) -> String {
    // An address in the answer may hold them too; the sentence says more.
    LIMIT
        .seen
        .find_iter(text)
        .max_by_key(regex::Match::len)
        .map(|words| short(words.as_str()))
        .unwrap_or_default()
}

/// What rule a filter's own words give as the reason; `Unknown` when they give none.
pub(crate) fn told_rule(text: &str) -> Rule {
    static IP: LazyLock<Regex> = LazyLock::new(|| {
        plain(
            r"(?ix) \bip(\saddress(es)?)?(\s\(?[0-9a-f.:]{3,45}\)?)?\s(has\sbeen\s|have\sbeen\s|is\s|was\s|are\s)?(\w+\s)?(blocked|banned|blacklisted|blocklisted|block-listed|denied|restricted|(on|in)\s(a|our|the)\s(block|black|deny)-?list)|(block|black)list(ed)?\sip|(blocked|denied|forbidden|restricted)\s(for|from)\syour\sip|ips\sused\sfor\sautomation",
        )
    });
    static GEO: LazyLock<Regex> = LazyLock::new(|| {
        plain(
            r"(?ix) (from|in|for)\s(your|this)\s(country|region|location)|country\s(is\s|has\sbeen\s)?(blocked|not\sallowed|restricted)|geo-?(block|restrict)|geograph",
        )
    });
    static AGENT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)user[\x20-]agent|\bbad bot|browser signature|unsupported browser|automated (tool|browser|client)|bot access",
        )
    });
    match () {
        () if says_too_many(text) => Rule::RateLimit,
        () if GEO.is_match(text) => Rule::Geo,
        () if IP.is_match(text) => Rule::Ip,
        () if AGENT.is_match(text) => Rule::UserAgent,
        () if ATTACK.seen.is_match(text) || LAYER.seen.is_match(text) => Rule::FirewallRule,
        () => Rule::Unknown,
    }
}

/// What a refusal without a name says of itself.
pub(crate) fn read(page: &Page<'_>) -> Option<Found> {
    let status = page.status();
    if let Some(found) = forwarded(page) {
        return Some(found);
    }
    if page.body().len() > BODY_BYTES_MAX || matches!(status, 100..=199 | 204 | 300..=399) {
        return None;
    }
    let text = match page.form {
        Form::Html | Form::Text | Form::Xml => Cow::Borrowed(page.visible()),
        Form::Json if status >= 400 || refuses_in_json(page) => Cow::Borrowed(page.visible()),
        _ => return without_words(page),
    };
    let most = if status < 400 {
        GOOD_TEXT_MAX
    } else {
        TEXT_MAX
    };
    let is_long = text.chars().count() > most;
    let text = if is_long { notice(page, &text)? } else { text };
    // A reader of a page with a good status sees a page; plain text is not believed, and data when it says itself
    // that it stands for a refusal.
    let believed = matches!(page.form, Form::Html | Form::Json) || page.has("faultcode");
    if status < 400 && (!believed || page.has("<article") || page.has("<nav")) {
        return None;
    }
    let mut seen: Vec<&Words> = Vec::new();
    let mut see = |words: &'static Words, text: &str| {
        let is_there = words.seen.is_match(text);
        if is_there {
            seen.push(words);
        }
        is_there
    };
    // Help for people who were refused puts it as a question.
    let is_question = status < 400 && page.title().is_some_and(|t| t.contains(['?', '？']));
    // "(WAF)" stands in pages of any language; that it refused the status says.
    let by_loan_word =
        || matches!(status, 403 | 406) && FIREWALL.is_match(&text) && text.chars().count() <= 400;
    let refused = !is_question && see(&REFUSED, &text)
        || by_loan_word()
        || status >= 400 && (refused_by_member(page) || BEGINS.is_match(&text));
    let layer = see(&LAYER, &text);
    let attack = see(&ATTACK, &text);
    let gate = see(&GATE, &text);
    // A list of errors is everybody's form, a firewall's that says so too.
    let origin = if layer && refused {
        origin::application_beyond_form(page).is_some()
    } else {
        origin::application(page).is_some()
    };
    let id = labelled_id(page);
    if refused || page.form == Form::Html {
        let people = OUR_PEOPLE.seen.is_match(&text);
        let policy = OUR_POLICY.seen.is_match(&text);
        let filter = OUR_FILTER.seen.is_match(&text);
        // Of a partner's own 451 or 403 the law says nothing about whose notice it is; with a good status it is
        // the notice of whoever answers in the partner's place.
        let law = status < 400 && OUR_LAW.seen.is_match(&text);
        let site = law && WHOLE_SITE.seen.is_match(&text);
        let private = (people || policy || filter)
            && PRIVATE_ADDRESS
                .seen
                .is_match(&String::from_utf8_lossy(page.body()));
        let signs = [
            (people, &OUR_PEOPLE),
            (policy, &OUR_POLICY),
            (filter, &OUR_FILTER),
            (law, &OUR_LAW),
            (site, &WHOLE_SITE),
            (private, &PRIVATE_ADDRESS),
        ];
        let ours = signs.iter().filter(|(there, _)| *there).count();
        // One sign and a refusal may be the partner's; two are spoken by who stands between.
        if ours >= 2 && (refused || private) && !origin {
            seen.retain(|words| words.says == REFUSED.says);
            seen.extend(signs.iter().filter(|(there, _)| *there).map(|(_, w)| *w));
            return Some(found(page, &text, &seen, id, Meaning::OurFilter));
        }
    }
    if is_long {
        return None;
    }
    let mechanism = gate
        && page.form == Form::Html
        && MECHANISM
            .seen
            .is_match(&String::from_utf8_lossy(page.body()));
    // On an error page the plain question for a human is enough.
    let asks = gate
        && status >= 400
        && text.len() <= 800
        && (HUMAN.is_match(&text) || CHECKS.is_match(&text));
    // A puzzle on an error page needs no words, so that its language doesn't matter; one in a form to fill in is the
    // application's own.
    let puzzle = status >= 400
        && page.form == Form::Html
        && text.chars().count() <= GOOD_TEXT_MAX
        && WIDGET.is_match(&String::from_utf8_lossy(page.body()))
        && !has_line_to_fill_in(page);
    if (gate && (mechanism || asks) || puzzle) && !origin && is_nothing_else(page, &text) {
        seen.push(&MECHANISM);
        return Some(found(page, &text, &seen, id, Meaning::Challenge));
    }
    if !refused || origin || page.form == Form::Json && !layer {
        return without_words(page);
    }
    // A reason alone needs something else beside it that is no reason.
    let reason = layer
        && LAYER
            .seen
            .find_iter(&text)
            .all(|words| REASON.is_match(words.as_str().trim()));
    // Of a request that was refused as an attack an application's rules for its input are no part.
    let as_attack = attack && matches!(status, 403 | 405 | 406 | 418 | 503);
    let of_request = (reason || as_attack)
        && REFUSED
            .seen
            .find_iter(&text)
            .any(|words| OF_REQUEST.is_match(words.as_str()));
    let listed = told_rule(&text) == Rule::Ip;
    let signs = [layer, attack, id.is_some(), of_request, listed];
    let layer = layer && !reason;
    let count = signs.iter().filter(|there| **there).count();
    let enough = if status < 400 {
        // One that says only this says it at its head; elsewhere it is about something.
        let heads = |title: &str| REFUSED.seen.is_match(title) || TITLE.is_match(title);
        let title = page.title().unwrap_or_default();
        let says_so = page.title().is_none_or(heads);
        let headed = says_so && text.len() <= 200 || FIREWALL.is_match(title) && text.len() <= 300;
        let titled = says_so || LAYER.seen.is_match(title) || ATTACK.seen.is_match(title);
        layer && (count >= 2 && titled || headed)
    } else {
        layer || count >= 2
    };
    if enough && !speaks_of_account(&text) {
        return Some(found(page, &text, &seen, id, Meaning::Layer));
    }
    without_words(page)
}

/// The first sentences of a longer page, when they tell whoever reads it that a whole site is withheld.
fn notice<'t>(page: &Page<'_>, text: &'t str) -> Option<Cow<'t, str>> {
    static READER: LazyLock<Regex> = LazyLock::new(|| {
        plain(
            r"(?ix) \b(dear\s(\w+\s)?(customer|user|subscriber)|you\s(have\s|are\s|were\s)?(tried|trying|attempt|requested)\w*|requested\s(resource|page|site|website|url)|access\sto\s(this\s(site|website|page|resource)|the\s(requested|location\syou|site\syou|page\syou))|this\s(web\s?)?(site|page)\s(is|has|was))
              | уважаем|(данн|запрашиваем|запрошенн|информационн|эт)\S{2,3}\s(интернет-?)?(ресурс|сайт|страниц)|вы\sобратились | situs\s(yang|ini|tujuan|terlarang)|pelanggan | (diese|aufgerufene)\s(web)?seite | (este|esta|al)\s(sitio|p[áa]gina|s[íi]tio) | ce\ssite | questo\ssito | deze\s(web)?site",
        )
    });
    if page.form != Form::Html || page.status() >= 400 {
        return None;
    }
    let end = text
        .char_indices()
        .nth(NOTICE_HEAD)
        .map_or(text.len(), |(at, _)| at);
    let head = text.get(..end)?;
    (REFUSED.seen.is_match(head) && READER.is_match(head)).then_some(Cow::Borrowed(head))
}

/// A page or a redirect that does nothing but send on to an address whose host says that it blocks.
///
/// Providers and states send on so, and over plain HTTP; over HTTPS it may be the partner's own page as well.
fn forwarded(page: &Page<'_>) -> Option<Found> {
    static TARGET: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?i)(?:<i?frame[^>]{0,200}\ssrc\s*=\s*["']?|;\s*url\s*=\s*["']?|location(?:\.href)?\s*=\s*["']|location\.replace\(\s*["'])(https?://[^"'\s>]{1,300})"#,
        )
    });
    static BLOCKS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)^https?://(?:[a-z0-9-]+[.-])*(?:block(?:ed|page|list)?|deny|denied|censor(?:ed|ship)?|restrict(?:ed)?|zapret|lawfilter|web-?filter|url-?filter|content-?filter|cleanweb|internet-?(?:positif|baik|sehat)|trust-?positif|blackhole|parental)\d*[.:/-]",
        )
    });
    let target = match page.status() {
        300..=399 => page.header("location")?.trim().to_owned(),
        200..=299
            if page.form == Form::Html
                && page.body().len() <= FORWARD_BYTES_MAX
                && page.visible().chars().count() <= FORWARD_TEXT_MAX =>
        {
            let body = String::from_utf8_lossy(page.body());
            TARGET.captures(&body)?.get(1)?.as_str().to_owned()
        }
        _ => return None,
    };
    if !BLOCKS.is_match(&target) {
        return None;
    }
    let meaning = if starts(&target, "http:") {
        Meaning::OurFilter
    } else {
        Meaning::Layer
    };
    let mut found = blank(page, meaning);
    found.evidence.push(Evidence {
        strength: Strength::Strong,
        text: format!(
            "it only sends on to {}, an address that says of itself that it blocks",
            short(target.split(['?', '#']).next().unwrap_or_default())
        ),
    });
    Some(found)
}

/// Whether the page asks its reader to prove to be a person, and refuses nobody.
pub(crate) fn is_check(page: &Page<'_>) -> bool {
    let text = page.visible();
    page.form == Form::Html
        && text.chars().count() <= GOOD_TEXT_MAX
        && GATE.seen.is_match(text)
        && !REFUSED.seen.is_match(text)
        && page.body().len() <= BODY_BYTES_MAX
        && MECHANISM
            .seen
            .is_match(&String::from_utf8_lossy(page.body()))
}

/// A refusal whose page says nothing: by a header, or by the software's name.
fn without_words(page: &Page<'_>) -> Option<Found> {
    by_header(page).or_else(|| by_server(page))
}

/// A refusal by a header that says so, as layers before an application log it for their owner.
///
/// Its name speaks of a firewall or of denial (`Deny-Reason`, `X-WAF-Action`), or its value does ("denied by …").
fn by_header(page: &Page<'_>) -> Option<Found> {
    const DENIES: [&str; 6] = ["deny", "denied", "block", "reject", "drop", "refus"];
    if page.status() < 400 || origin::application(page).is_some() {
        return None;
    }
    let (name, value) = page.answer.headers.iter().find(|(name, value)| {
        let value = value.trim();
        let says = |begins: &str| starts(value, begins);
        let word = |word: &str| name.split(['-', '_']).any(|part| part == word);
        let denies = DENIES.into_iter().any(says);
        let of_filter =
            name.split(['-', '_']).any(|part| part.ends_with("waf")) || word("firewall");
        let of_denial = ["deny", "denied", "block", "blocked"].into_iter().any(word);
        let none = value.is_empty()
            || ["0", "no", "false", "-", "allow", "pass"]
                .into_iter()
                .any(says);
        ["denied by ", "deny by ", "blocked by ", "rejected by "]
            .into_iter()
            .any(says)
            || of_filter && denies
            || of_denial
                && !none
                && (denies || word("reason") || word("by") || says("true") || value == "1")
    })?;
    let mut found = blank(page, Meaning::Layer);
    if found.rule == Rule::Unknown {
        found.rule = told_rule(value);
    }
    found.reference_id = labelled_id(page);
    found.evidence.push(Evidence {
        strength: Strength::Strong,
        text: format!(
            "header {name}: {}: something before the application says that it refused",
            short(value)
        ),
    });
    Some(found)
}

/// Whether a person is to write something, but what the puzzle itself asks.
fn has_line_to_fill_in(page: &Page<'_>) -> bool {
    static INPUT: LazyLock<Regex> = LazyLock::new(|| pattern(r"<input[^>]{0,300}"));
    static NO_LINE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r#"\stype\s*=\s*["']?(?:hidden|submit|button|image|reset|checkbox)\b|captcha"#)
    });
    let body = String::from_utf8_lossy(page.body()).to_ascii_lowercase();
    INPUT
        .find_iter(&body)
        .any(|input| !NO_LINE.is_match(input.as_str()))
}

/// Whether the page is a check and no form of an application that has a check too.
fn is_nothing_else(page: &Page<'_>, text: &str) -> bool {
    // The box in which a captcha writes its answer is no field for a person.
    static FIELD: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?i)<input[^>]{0,300}type\s*=\s*["']?(?:password|email|tel)\b|<textarea[^>]{0,300}>|<select\b"#,
        )
    });
    if matches!(page.status(), 404 | 410) {
        return false;
    }
    let body = String::from_utf8_lossy(page.body()).to_ascii_lowercase();
    if FIELD
        .find_iter(&body)
        .any(|field| !field.as_str().contains("captcha"))
    {
        return false;
    }
    // With a good status, waiting pages of applications look alike: it must show the puzzle, or say what it waits for.
    page.status() >= 400
        || (text.chars().count() <= 300 && (WIDGET.is_match(&body) || CHECKS.is_match(text)))
}

/// Refusals of a person's account, card or order are the application's business.
fn speaks_of_account(text: &str) -> bool {
    static ACCOUNT: LazyLock<Regex> = LazyLock::new(|| {
        plain(
            r"(?ix) \b(your|this|the)\s(\w+\s)?(account|subscription|user|login|card|payment|order|licen[sc]e|api[\x20-]?key|token|credentials?|password|plan|workspace|tenant)\b|\b(permission|privilege|role|scope)s?\b",
        )
    });
    ACCOUNT.is_match(text)
}

/// A refusal without words by software whose `Server` value says that it filters.
fn by_server(page: &Page<'_>) -> Option<Found> {
    static FILTER: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)waf\b|\bwaf|firewall|shield|anti-?ddos"));
    let server = page.header("server")?.trim();
    let refuses = matches!(page.status(), 403 | 405 | 406 | 418);
    if !refuses
        || !FILTER.is_match(server)
        || page.body().len() > 4096
        || origin::application(page).is_some()
    {
        return None;
    }
    let mut found = blank(page, Meaning::Layer);
    found.strength = Strength::Weak;
    found.reference_id = labelled_id(page);
    found.evidence.push(Evidence {
        strength: Strength::Weak,
        text: format!("header server: {server}: it names a filter, and nothing shows that the application was asked"),
    });
    Some(found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// A security layer of the partner that gives no name.
    Layer,
    /// A check for a person, whoever makes it.
    Challenge,
    /// A filter of our own network.
    OurFilter,
}

fn blank(page: &Page<'_>, meaning: Meaning) -> Found {
    let (kind, rule, who, place) = match meaning {
        Meaning::Layer if page.status() == 429 => (
            Kind::RateLimited,
            Rule::RateLimit,
            WhoActs::NobodyWait,
            Place::Unnamed,
        ),
        Meaning::Layer => (
            Kind::EdgeBlock,
            Rule::Unknown,
            WhoActs::SiteOwner,
            Place::Unnamed,
        ),
        Meaning::Challenge => (
            Kind::EdgeChallenge,
            Rule::BotChallenge,
            WhoActs::SiteOwner,
            Place::Unnamed,
        ),
        Meaning::OurFilter => (
            Kind::EdgeBlock,
            Rule::ClientSideProxy,
            WhoActs::Visitor,
            Place::OurSide,
        ),
    };
    Found {
        vendor: "unknown",
        tier: Tier::Shape,
        strength: Strength::Strong,
        kind,
        rule,
        who,
        place,
        code: None,
        reference_id: None,
        note: None,
        evidence: Vec::new(),
    }
}

fn found(
    page: &Page<'_>,
    text: &str,
    seen: &[&Words],
    id: Option<String>,
    meaning: Meaning,
) -> Found {
    let mut found = blank(page, meaning);
    if meaning == Meaning::Layer && found.kind == Kind::EdgeBlock {
        found.rule = told_rule(text);
        if found.rule == Rule::RateLimit {
            found.kind = Kind::RateLimited;
            found.who = WhoActs::NobodyWait;
        }
    }
    let what = match meaning {
        Meaning::Layer => "a security layer that gives no name refuses",
        Meaning::Challenge => "a bot check that gives no name",
        Meaning::OurFilter => "a filter of our own network, or of the provider, refuses",
    };
    let mut signs: Vec<String> = seen
        .iter()
        .filter_map(|words| {
            let at = words.seen.find(text)?;
            Some(format!("{} (\"{}\")", words.says, short(at.as_str())))
        })
        .collect();
    if signs.is_empty() {
        // It stands in the markup, which nobody wants to read.
        signs.extend(seen.last().map(|words| words.says.to_owned()));
    }
    found.evidence.push(Evidence {
        strength: found.strength,
        text: format!("{what}: {}", signs.join(", ")),
    });
    if let Some(id) = &id {
        found.evidence.push(Evidence {
            strength: Strength::Weak,
            text: format!("it prints an id for a ticket: {id}"),
        });
    }
    found.reference_id = id;
    found
}

fn short(text: &str) -> String {
    text.trim().chars().take(QUOTED_CHARS).collect()
}
